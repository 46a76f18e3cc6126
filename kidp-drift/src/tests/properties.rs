//! Properties that hold for any two objects.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::paths;
use crate::diff;
use crate::path::Step;
use crate::schema::{Keys, Type};
use crate::walk::{Found, Walk};

/// A step that outlives the objects.
enum Place {
    Field(String),
    Item(Keys, Value, usize),
    Member(Value),
    Index(usize),
}

/// What is to be put where.
struct Write {
    path: Vec<Place>,
    value: Value,
}

fn writes(desired: &Value, live: &Value) -> Vec<Write> {
    let mut writes = Vec::new();
    let note = |found: Found<'_, '_>| {
        let place = |step: &Step<'_>| match step {
            Step::Field(name) => Place::Field((*name).to_owned()),
            Step::Item(keys, item, nth) => Place::Item(keys, (*item).clone(), *nth),
            Step::Member(value) => Place::Member((*value).clone()),
            Step::Index(at) => Place::Index(*at),
        };
        writes.push(Write {
            path: found.path.iter().map(place).collect(),
            value: found.desired.clone(),
        });
    };
    Walk::new(note).object(Type::of(desired), desired, live);
    writes
}

/// Puts the desired value at each path where there is a difference.
fn apply(writes: &[Write], live: &mut Value) {
    for write in writes {
        put(live, &write.path, &write.value);
    }
}

fn put(at: &mut Value, path: &[Place], value: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *at = value.clone();
        return;
    };
    match step {
        Place::Field(name) => put(
            at.as_object_mut()
                .unwrap()
                .entry(name.clone())
                .or_insert(Value::Null),
            rest,
            value,
        ),
        Place::Index(index) => put(&mut at.as_array_mut().unwrap()[*index], rest, value),
        Place::Member(member) => at.as_array_mut().unwrap().push(member.clone()),
        Place::Item(keys, item, nth) => {
            let key = |item: &Value| -> Vec<Value> {
                keys.iter()
                    .map(|(key, default)| match item.get(*key) {
                        None if !default.is_empty() => Value::from(*default),
                        found => found.cloned().unwrap_or_default(),
                    })
                    .collect()
            };
            let list = at.as_array_mut().unwrap();
            match list
                .iter_mut()
                .filter(|live| live.is_object() && key(live) == key(item))
                .nth(*nth)
            {
                Some(found) => put(found, rest, value),
                None => list.push(value.clone()),
            }
        }
    }
}

/// Anything, with names that mean something here and there.
pub(super) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z0-9]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = "name|port|ports|env|data|limits|spec|containers|[a-z]{1,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A quantity in two notations.
fn quantity() -> impl Strategy<Value = [String; 2]> {
    (1_u32..10_000, any::<bool>()).prop_map(|(n, binary)| {
        if binary {
            [format!("{n}Gi"), format!("{}Mi", u64::from(n) * 1024)]
        } else {
            [n.to_string(), format!("{n}000m")]
        }
    })
}

fn map(value: impl Strategy<Value = String>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-c]", value, 0..3).prop_map(|map| json!(map))
}

fn list(item: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec(item, 0..4).prop_map(Value::from)
}

fn container() -> impl Strategy<Value = Value> {
    let env = list(("[A-C]", "[x-z]").prop_map(|(name, value)| json!({"name": name, "value": value})));
    let port =
        (1_u8..4, prop::option::of(prop_oneof!["TCP", "UDP"]), "[a-c]").prop_map(|(port, protocol, name)| {
            let mut item = json!({"containerPort": port, "name": name});
            if let Some(protocol) = protocol {
                item["protocol"] = protocol.into();
            }
            item
        });
    let args = list("[a-c]".prop_map(Value::from));
    let limits = map(quantity().prop_map(|[one, _]| one));
    ("[a-c]", "[x-z]", env, list(port), args, limits).prop_map(|(name, image, env, ports, args, limits)| {
        json!({"name": name, "image": image, "env": env, "ports": ports, "args": args, "resources": {"limits": limits}})
    })
}

/// A StatefulSet with each kind of list and map; its lists may hold a key twice.
pub(super) fn stateful_set() -> impl Strategy<Value = Value> {
    let labels = || map("[x-z]".prop_map(String::from));
    let volume = ("[a-c]", any::<bool>()).prop_map(|(name, empty)| {
        if empty {
            json!({"name": name, "emptyDir": {}})
        } else {
            json!({"name": name, "secret": {"secretName": name}})
        }
    });
    let finalizers = prop::collection::btree_set("[a-c]/x", 0..3).prop_map(|set| json!(set));
    let metadata = (labels(), labels(), finalizers);
    let tolerations = list("[a-c]".prop_map(|key| json!({"key": key})));
    (metadata, labels(), 0_u8..4, list(container()), list(volume), tolerations).prop_map(
        |((labels, annotations, finalizers), selector, replicas, containers, volumes, tolerations)| {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "n", "labels": labels, "annotations": annotations, "finalizers": finalizers},
                "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": {"spec": {
                    "containers": containers, "volumes": volumes, "tolerations": tolerations, "nodeSelector": selector}}}})
        },
    )
}

/// Every keyed list backwards, every quantity in another notation.
fn respelled(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(map) => {
            let respell = |(name, value): (&String, &Value)| (name.clone(), respelled(value, name));
            let map: Map<_, _> = if name == "limits" {
                map.iter()
                    .map(|(name, value)| (name.clone(), thousandths(value)))
                    .collect()
            } else {
                map.iter().map(respell).collect()
            };
            Value::Object(map)
        }
        Value::Array(list) => {
            let mut list: Vec<_> = list.iter().map(|item| respelled(item, "")).collect();
            let name_of = |item: &Value| item.get("name").cloned().unwrap_or_default().to_string();
            let port_of = |item: &Value| item.get("containerPort").and_then(Value::as_u64);
            match name {
                // Stable, since items with the same key are paired in their order.
                "containers" | "env" | "volumes" => list.sort_by_key(|item| std::cmp::Reverse(name_of(item))),
                "ports" => list.sort_by_key(|item| std::cmp::Reverse(port_of(item))),
                "finalizers" => list.reverse(),
                _ => {}
            }
            Value::Array(list)
        }
        scalar => scalar.clone(),
    }
}

fn thousandths(value: &Value) -> Value {
    let text = value.as_str().unwrap();
    match text.strip_suffix("Gi") {
        Some(gib) => Value::from(format!("{}Ki", gib.parse::<u64>().unwrap() * 1024 * 1024)),
        None => Value::from(format!("{text}e0")),
    }
}

proptest! {
    #[test]
    fn an_object_does_not_differ_from_itself(value in json_value(), set in stateful_set()) {
        prop_assert_eq!(diff(&value, &value), vec![]);
        prop_assert_eq!(diff(&set, &set), vec![]);
    }

    #[test]
    fn applying_the_changes_leaves_none(desired in json_value(), live in json_value()) {
        let mut live = live;
        apply(&writes(&desired, &live), &mut live);
        prop_assert_eq!(diff(&desired, &live), vec![]);
    }

    #[test]
    fn applying_the_changes_of_a_stateful_set_leaves_none(desired in stateful_set(), live in stateful_set()) {
        let mut applied = live.clone();
        apply(&writes(&desired, &live), &mut applied);
        prop_assert_eq!(diff(&desired, &applied), vec![]);
        // Nothing was written where there was no difference.
        prop_assert_eq!(diff(&desired, &live).is_empty(), live == applied);
    }

    #[test]
    fn order_and_notation_mean_nothing(desired in stateful_set()) {
        prop_assert_eq!(paths(&desired, &respelled(&desired, "")), Vec::<String>::new());
    }

    #[test]
    fn quantities_are_amounts([one, other] in quantity()) {
        let claim = |size: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "spec": {"resources": {"requests": {"storage": size}}}});
        prop_assert_eq!(paths(&claim(&one), &claim(&other)), Vec::<String>::new());
    }
}

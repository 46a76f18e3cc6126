//! What others added, and what they did not.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::properties::{json_value, stateful_set};
use crate::{additions, additions_as, diff};

/// `fieldsV1` of a value: everything in it, as the API server writes it for lists with the key `name`.
fn owned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map
                .iter()
                .map(|(name, value)| (format!("f:{name}"), owned(value)));
            Value::Object(fields.collect())
        }
        Value::Array(list) if !list.is_empty() && list.iter().all(|item| item["name"].is_string()) => {
            let items = list.iter().map(|item| {
                let key = format!("k:{}", json!({"name": item["name"]}));
                let mut below = owned(item);
                below["."] = json!({});
                (key, below)
            });
            Value::Object(items.collect())
        }
        _ => json!({}),
    }
}

/// The object with a manager who owns these fields.
fn written_by(manager: &str, fields: &Value, object: &Value) -> Value {
    let mut live = object.clone();
    let entry = json!({"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields});
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    live["metadata"]["managedFields"] = entries.into_iter().chain([entry]).collect();
    live
}

fn set(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders"}, "spec": {
        "replicas": 1, "template": {"metadata": {"labels": {"app": "orders"}, "annotations": {"checksum": "1"}}, "spec": spec}}})
}

fn asked() -> Value {
    set(
        &json!({"containers": [{"name": "db", "image": "postgres:17", "env": [{"name": "A", "value": "1"}]}],
        "volumes": [{"name": "run", "emptyDir": {}}]}),
    )
}

/// Adds to the object as asked for, all by `kubectl`; answers what is told.
fn told(add: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut live = asked();
    add(&mut live["spec"]["template"]);
    let live = written_by("kubectl", &owned(&live), &live);
    assert_eq!(diff(&asked(), &live), [], "an addition is no other difference");
    let by = " (by kubectl, Update at 2026-01-01T00:00:00Z)";
    additions(&asked(), &live)
        .iter()
        .map(|change| {
            let text = change.to_string();
            let text = text.strip_prefix("StatefulSet/orders spec.template.").unwrap();
            text.strip_suffix(by).unwrap().to_owned()
        })
        .collect()
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

#[test]
fn what_others_add_is_told_once_with_its_author_and_without_its_values() {
    type Add = fn(&mut Value);
    let cases: [(Add, &str); 10] = [
        (
            |t| {
                push(
                    &mut t["spec"]["containers"],
                    json!({"name": "spy", "image": "spy:1", "env": [{"name": "P", "value": "hunter2"}]}),
                );
            },
            r#"spec.containers[name=spy]: added by others, {"image":"spy:1","name":"spy"}"#,
        ),
        (
            |t| {
                push(
                    &mut t["spec"]["initContainers"],
                    json!({"name": "first", "args": ["hunter2"]}),
                );
            },
            r#"spec.initContainers[name=first]: added by others, {"name":"first"}"#,
        ),
        (
            |t| {
                push(
                    &mut t["spec"]["containers"][0]["env"],
                    json!({"name": "B", "value": "hunter2"}),
                );
            },
            r#"spec.containers[name=db].env[name=B]: added by others, {"name":"B"}"#,
        ),
        (
            |t| {
                push(
                    &mut t["spec"]["volumes"],
                    json!({"name": "host", "hostPath": {"path": "/", "type": ""}}),
                );
            },
            r#"spec.volumes[name=host]: added by others, {"name":"host"}"#,
        ),
        (
            |t| t["metadata"]["labels"]["team"] = json!("x"),
            "metadata.labels.team: added by others, x",
        ),
        (
            |t| t["metadata"]["annotations"]["a.b/c"] = json!("hunter2"),
            "metadata.annotations[a.b/c]: added by others, (hidden)",
        ),
        (
            |t| t["spec"]["hostNetwork"] = json!(true),
            "spec.hostNetwork: added by others, true",
        ),
        (
            |t| t["spec"]["terminationGracePeriodSeconds"] = json!(5),
            "spec.terminationGracePeriodSeconds: added by others, 5",
        ),
        (
            |t| t["spec"]["tolerations"] = json!([{"operator": "Exists"}]),
            "spec.tolerations: added by others, (hidden)",
        ),
        (
            |t| t["spec"]["volumes"][0]["emptyDir"]["medium"] = json!("Memory"),
            "spec.volumes[name=run].emptyDir.medium: added by others, Memory",
        ),
    ];
    for (add, expected) in cases {
        assert_eq!(told(add), [expected]);
    }
}

#[test]
fn defaults_notes_and_empty_values_are_nothing_added() {
    assert_eq!(told(|_| ()), [""; 0]);
    for add in [
        (|t| t["spec"]["terminationGracePeriodSeconds"] = json!(30)) as fn(&mut Value),
        |t| t["spec"]["dnsPolicy"] = json!("ClusterFirst"),
        |t| t["spec"]["securityContext"] = json!({}),
        |t| t["spec"]["containers"][0]["livenessProbe"] = json!({"periodSeconds": 10, "timeoutSeconds": 1}),
        |t| t["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("2026-01-01T00:00:00Z"),
        |t| t["metadata"]["annotations"] = json!({"checksum": "1", "kubectl.kubernetes.io/restartedAt": "x"}),
        |t| t["spec"]["newerThanTheTable"] = json!({"a": "b"}),
    ] {
        assert_eq!(told(add), [""; 0]);
    }
}

#[test]
fn what_is_ours_by_admission_or_a_controllers_is_nothing_added() {
    let mut live = asked();
    live["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let fields = owned(&live);
    for manager in ["kidp-broker", "kidp-operator", "kube-controller-manager"] {
        assert_eq!(
            additions(&asked(), &written_by(manager, &fields, &live)),
            [],
            "{manager}"
        );
    }
    let stranger = written_by("tool", &fields, &live);
    assert_eq!(additions(&asked(), &stranger).len(), 1);
    assert_eq!(additions_as(&["tool"], &asked(), &stranger), []);
    // What KIDP owns as well came by its own write.
    assert_eq!(
        additions(&asked(), &written_by("kidp-broker", &fields, &stranger)),
        []
    );
    let mut status = stranger.clone();
    status["metadata"]["managedFields"][0]["subresource"] = json!("status");
    assert_eq!(additions(&asked(), &status), []);
    // Not there any more.
    assert_eq!(additions(&asked(), &written_by("tool", &fields, &asked())), []);
}

#[test]
fn the_objects_own_metadata_and_custom_resources_are_everybodys() {
    let mut live = asked();
    live["metadata"]["labels"] = json!({"team": "x"});
    live["metadata"]["finalizers"] = json!(["a/b"]);
    assert_eq!(additions(&asked(), &written_by("tool", &owned(&live), &live)), []);
    let custom = |spec: &Value| json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "n"}, "spec": spec});
    let live = custom(&json!({"instances": 3, "more": {"a": 1}}));
    let live = written_by("manager", &owned(&live), &live);
    assert_eq!(additions(&custom(&json!({"instances": 3})), &live), []);
}

#[test]
fn of_several_the_newest_is_named_and_a_secret_is_not_shown() {
    let secret =
        |data: &Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n"}, "data": data});
    let live = secret(&json!({"a": "MQ==", "b": "aHVudGVyMg=="}));
    let mut live = written_by("new", &owned(&live), &written_by("old", &owned(&live), &live));
    live["metadata"]["managedFields"][1]["time"] = json!("2026-02-01T00:00:00Z");
    let found = additions(&secret(&json!({"a": "MQ=="})), &live);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].author.as_ref().unwrap().manager, "new");
    let text = format!("{} {found:?} {}", found[0], crate::listing(&found));
    assert!(text.contains("data.b") && !text.contains("aHVudGVyMg"), "{text}");
    assert_eq!(serde_json::to_value(&found[0]).unwrap()["added"], true);
}

#[test]
fn a_list_of_many_is_read() {
    let env = |n: usize| -> Vec<Value> {
        (0..n)
            .map(|n| json!({"name": format!("V{n}"), "value": "x"}))
            .collect()
    };
    let pod = |env: Vec<Value>| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"containers": [{"name": "a", "env": env}]}});
    let live = pod(env(20_000));
    let live = written_by("tool", &owned(&live), &live);
    assert_eq!(additions(&pod(env(10_000)), &live).len(), 10_000);
}

#[test]
fn garbled_owners_add_nothing() {
    for fields in [
        json!(null),
        json!("x"),
        json!({"f:spec": 1}),
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{": {}, "": {}, "v:1": {}, "ü": {}}}}}}),
    ] {
        assert_eq!(
            additions(&asked(), &written_by("tool", &fields, &asked())),
            [],
            "{fields}"
        );
    }
    assert_eq!(additions(&json!(1), &json!([])), []);
}

proptest! {
    /// Whoever owns all of what was asked for added nothing, and what is asked for is never an addition.
    #[test]
    fn what_is_asked_for_is_no_addition(desired in stateful_set(), other in stateful_set()) {
        let live = written_by("tool", &owned(&desired), &desired);
        prop_assert_eq!(additions(&desired, &live), []);
        let live = written_by("tool", &owned(&other), &other);
        let found = additions(&desired, &live);
        let mut merged = desired.clone();
        for change in &found {
            prop_assert!(change.added && change.before.is_null() && !change.path.is_empty());
            prop_assert!(crate::diff(&desired, &live).iter().all(|c| c.path != change.path));
        }
        // Nothing panics on anything either.
        merged["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        additions(&other, &merged);
    }

    #[test]
    fn nothing_panics(desired in json_value(), live in json_value(), fields in json_value()) {
        let mut map = Map::new();
        map.insert("spec".to_owned(), live);
        map.insert("metadata".to_owned(), json!({}));
        map.insert("apiVersion".to_owned(), json!("v1"));
        map.insert("kind".to_owned(), json!("Pod"));
        let mut asked = Value::Object(map.clone());
        asked["spec"] = desired;
        additions(&asked, &written_by("tool", &json!({"f:spec": owned(&fields)}), &Value::Object(map)));
    }
}

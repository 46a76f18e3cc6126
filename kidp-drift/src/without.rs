//! An object with some of its fields taken out, so that server-side apply leaves them as they are.
//!
//! A field that another manager has changed is no longer owned by the one who applied it first, so that an apply without
//! it removes nothing and keeps the other's value.

use serde_json::Value;

use crate::items::Items;
use crate::path::{self, Step};
use crate::schema::{Keys, List, Type};

/// `object` without the fields at these paths, as [`crate::Change::path`] writes them. What is one value (an ordered
/// list, a selector) goes as a whole where a path leads into it, and so do the other changes in it.
pub fn without(object: &Value, paths: &[&str]) -> Value {
    let mut rest = object.clone();
    take_out(Type::of(object), &mut rest, ("", ""), paths);
    rest
}

/// Takes out what is below `here`, which ends in the field `name`; whether the value itself is to go.
fn take_out(kind: Type, value: &mut Value, (here, name): (&str, &str), paths: &[&str]) -> bool {
    if !here.is_empty() && paths.contains(&here) {
        return true;
    }
    match value {
        Value::Object(_) if kind.is_atomic_map() => leads_into(here, paths),
        Value::Object(map) => {
            map.retain(|name, value| {
                let at = joined(here, &Step::Field(name));
                !take_out(kind.field(name), value, (&at, name), paths)
            });
            false
        }
        Value::Array(list) => match kind.list(name, list) {
            List::Ordered(_) => leads_into(here, paths),
            List::Keyed(keys, item) => items(keys, item, list, here, paths),
            List::Set => {
                list.retain(|member| !paths.contains(&joined(here, &Step::Member(member)).as_str()));
                false
            }
        },
        _ => false,
    }
}

fn items(keys: Keys, item: Type, list: &mut Vec<Value>, here: &str, paths: &[&str]) -> bool {
    let mut same = Items::new(keys, list, &[]);
    let places: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(at, item)| joined(here, &Step::Item(keys, item, same.find(at).0)))
        .collect();
    let mut places = places.into_iter();
    list.retain_mut(|value| {
        let at = places.next().unwrap_or_default();
        !take_out(item, value, (&at, ""), paths)
    });
    false
}

fn joined(here: &str, step: &Step<'_>) -> String {
    let mut path = here.to_owned();
    path::push(&mut path, step);
    path
}

fn leads_into(here: &str, paths: &[&str]) -> bool {
    let into = |path: &&str| {
        path.strip_prefix(here)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    paths.iter().any(into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_and_keyed_items_go_and_an_ordered_list_goes_whole() {
        let object = json!({"metadata": {"labels": {"a.b/c": "1", "d": "2"}}, "spec": {
            "containers": [{"name": "a", "image": "i", "args": ["x", "y"]}, {"name": "b", "image": "j"}]}});
        let paths = [
            "metadata.labels[a.b/c]",
            "spec.containers[name=a].image",
            "spec.containers[name=a].args[1]",
            "spec.containers[name=b]",
        ];
        assert_eq!(
            without(&object, &paths),
            json!({"metadata": {"labels": {"d": "2"}}, "spec": {"containers": [{"name": "a"}]}})
        );
        assert_eq!(without(&object, &[]), object);
    }

    #[test]
    fn what_is_taken_out_is_no_difference_any_more() {
        let desired =
            json!({"spec": {"replicas": 1, "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}});
        let live = json!({"spec": {"replicas": 3, "ports": [{"port": 1, "name": "z"}]}});
        let changes = crate::diff(&desired, &live);
        assert_eq!(changes.len(), 3);
        let paths: Vec<_> = changes.iter().map(|c| c.path.as_str()).collect();
        assert_eq!(crate::diff(&without(&desired, &paths), &live), []);
    }

    #[test]
    fn maps_and_sets_go_as_the_schema_says() {
        let service = |spec: serde_json::Value| {
            json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "n", "finalizers": ["a/b", "c/d"]}, "spec": spec})
        };
        let object = service(
            json!({"selector": {"a": "b", "c": "d"}, "ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}]}),
        );
        let paths = [
            "spec.selector.a",
            "metadata.finalizers[=a/b]",
            "spec.ports[port=1,protocol=TCP]",
        ];
        let mut expected = service(json!({"ports": [{"port": 1, "protocol": "UDP"}]}));
        expected["metadata"]["finalizers"] = json!(["c/d"]);
        assert_eq!(without(&object, &paths), expected);
    }
}

//! The comparison.

use serde_json::{Map, Value, json};

use crate::change::Change;
use crate::path::{self, Step};
use crate::{author, merge_keys, quantity};

/// Every field of `desired` that `live` does not hold.
///
/// Both are whole objects as the API server serves them. Status and `managedFields` are of no interest here
/// unless `desired` names them.
pub fn diff(desired: &Value, live: &Value) -> Vec<Change> {
    let text = |pointer: &str| {
        desired
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut walk = Walk {
        object: format!("{}/{}", text("/kind"), text("/metadata/name")),
        live_root: live,
        path: Vec::new(),
        changes: Vec::new(),
    };
    walk.value(desired, Some(live));
    walk.changes
}

/// Where the comparison stands.
struct Walk<'a> {
    object: String,
    live_root: &'a Value,
    path: Vec<Step>,
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn value(&mut self, desired: &Value, live: Option<&Value>) {
        match (desired, live) {
            (_, None | Some(Value::Null)) if is_empty(desired) => {}
            (Value::Object(desired), Some(Value::Object(live))) => self.object(desired, live),
            (Value::Array(desired), Some(Value::Array(live))) => self.list(desired, live),
            (desired, Some(live)) if self.same_scalar(desired, live) => {}
            (desired, live) => self.report(desired, live),
        }
    }

    fn object(&mut self, desired: &Map<String, Value>, live: &Map<String, Value>) {
        for (name, value) in desired {
            self.path.push(Step::Field(name.clone()));
            self.value(value, live.get(name));
            self.path.pop();
        }
    }

    fn list(&mut self, desired: &[Value], live: &[Value]) {
        let name = self.field(0).to_owned();
        match merge_keys::of(&name, desired) {
            Some(keys) => {
                for item in desired {
                    let identity = merge_keys::identity(item, keys);
                    let found = live.iter().find(|l| merge_keys::identity(l, keys) == identity);
                    self.path.push(Step::Item(identity));
                    self.value(item, found);
                    self.path.pop();
                }
            }
            // An ordered list is one value: a shorter or longer one is another list.
            None if desired.len() != live.len() => self.report(&json!(desired), Some(&json!(live))),
            None => {
                for (index, (item, live)) in desired.iter().zip(live).enumerate() {
                    self.path.push(Step::Item(json!(index)));
                    self.value(item, Some(live));
                    self.path.pop();
                }
            }
        }
    }

    fn same_scalar(&self, desired: &Value, live: &Value) -> bool {
        if desired == live {
            return true;
        }
        let user_text = matches!(self.path.first(), Some(Step::Field(f)) if matches!(f.as_str(), "data" | "stringData" | "binaryData"));
        if user_text {
            return false;
        }
        if quantity::is_quantity_field(self.field(1), self.field(0)) {
            return quantity::equal(desired, live);
        }
        match (desired, live) {
            // An int-or-string field, such as `targetPort`.
            (Value::String(text), Value::Number(number)) | (Value::Number(number), Value::String(text)) => {
                *text == number.to_string()
            }
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            _ => false,
        }
    }

    /// Name of the field `up` steps above the current one; empty at the root and in a list.
    fn field(&self, up: usize) -> &str {
        match self.path.iter().rev().nth(up) {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }

    fn report(&mut self, desired: &Value, live: Option<&Value>) {
        self.changes.push(Change {
            object: self.object.clone(),
            path: path::shown(&self.path),
            before: desired.clone(),
            after: live.cloned().unwrap_or(Value::Null),
            author: live.and_then(|_| author::of(self.live_root, &self.path)),
        });
    }
}

/// Whether a value means the same as its absence. `false` and `0` do not: many fields default to something else.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paths(desired: &Value, live: &Value) -> Vec<String> {
        diff(desired, live).into_iter().map(|c| c.path).collect()
    }

    #[test]
    fn defaults_and_other_owners_are_no_difference() {
        let desired =
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}], "x": {}}});
        let live = json!({"spec": {"containers": [
            {"name": "sidecar"},
            {"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}], "imagePullPolicy": "Always"}
        ]}, "status": {}});
        assert_eq!(paths(&desired, &live), [""; 0]);
    }

    #[test]
    fn quantities_and_int_or_string_are_compared_by_meaning() {
        let desired =
            json!({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}, "targetPort": "80"});
        let live = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "targetPort": 80});
        assert_eq!(paths(&desired, &live), [""; 0]);
        let text = json!({"data": {"limits": {"a": "1Gi"}}});
        let other = json!({"data": {"limits": {"a": "1024Mi"}}});
        assert_eq!(paths(&text, &other), ["data.limits.a"]);
    }

    #[test]
    fn a_removed_item_and_a_longer_ordered_list_are_reported_once() {
        let desired = json!({"env": [{"name": "A", "value": "1"}], "args": ["x"], "automount": false});
        let live = json!({"env": [], "args": ["x", "y"]});
        assert_eq!(paths(&desired, &live), ["args", "automount", "env[name=A]"]);
    }

    #[test]
    fn the_author_is_the_manager_of_the_field() {
        let desired =
            json!({"kind": "S", "metadata": {"name": "n"}, "spec": {"replicas": 1, "c": [{"name": "a"}]}});
        let live = json!({"kind": "S", "metadata": {"name": "n", "managedFields": [
            {"manager": "kidp", "operation": "Apply", "fieldsV1": {"f:spec": {"f:c": {}}}},
            {"manager": "kubectl-scale", "operation": "Update", "time": "2026-01-01T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        ]}, "spec": {"replicas": 2, "c": [{"name": "a"}]}});
        let changes = diff(&desired, &live);
        assert_eq!(
            changes[0].to_string(),
            "S/n spec.replicas: 1 became 2 (by kubectl-scale, Update at 2026-01-01T00:00:00Z)"
        );
    }

    /// Maps are merged, everything else is replaced.
    fn apply(live: &mut Value, desired: &Value) {
        match (live, desired) {
            (Value::Object(live), Value::Object(desired)) => {
                for (name, value) in desired {
                    apply(live.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
            (live, desired) => *live = desired.clone(),
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
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

    proptest! {
        #[test]
        fn an_object_does_not_differ_from_itself(value in json_value()) {
            prop_assert_eq!(diff(&value, &value), vec![]);
        }

        #[test]
        fn what_was_applied_does_not_differ(desired in json_value(), live in json_value()) {
            let mut live = live;
            apply(&mut live, &desired);
            prop_assert_eq!(diff(&desired, &live), vec![]);
        }

        #[test]
        fn any_two_objects_can_be_compared(a in json_value(), b in json_value()) {
            let _ = diff(&a, &b);
        }
    }
}

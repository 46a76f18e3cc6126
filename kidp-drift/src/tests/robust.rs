//! Objects that nobody should make. Each is so large that a comparison of every item with every other would not come to an
//! end here.

use serde_json::{Map, Value, json};

use super::paths;
use crate::{diff, listing};

fn pod(env: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"containers": [{"name": "a", "env": env}]}})
}

#[test]
fn an_object_of_a_megabyte_and_a_half_is_compared() {
    let env = |value: &str| -> Vec<Value> {
        (0..45_000)
            .map(|n| json!({"name": format!("V{n}"), "value": format!("{value}{n}")}))
            .collect()
    };
    let (desired, mut reversed) = (env("a"), env("a"));
    reversed.reverse();
    let size = serde_json::to_string(&pod(&desired)).unwrap().len();
    assert!(size > 1_400_000, "{size}");
    assert_eq!(paths(&pod(&desired), &pod(&reversed)), [""; 0]);
    let mut live = pod(&env("b"));
    let owned: Map<_, _> = desired
        .iter()
        .map(|item| {
            (
                format!("k:{}", json!({"name": item["name"]})),
                json!({"f:value": {}}),
            )
        })
        .collect();
    live["metadata"]["managedFields"] = json!([
        {"manager": "someone", "operation": "Update", "fieldsV1": {"f:spec": {"f:containers": {r#"k:{"name":"a"}"#: {"f:env": owned}}}}}
    ]);
    let changes = diff(&pod(&desired), &live);
    assert_eq!(changes.len(), 45_000);
    assert!(changes.iter().all(|change| change.author.is_some()));
    assert!(listing(&changes).to_string().len() > 1_000_000);
}

#[test]
fn twenty_thousand_times_the_same_key_is_compared() {
    let same: Vec<Value> = (0..20_000)
        .map(|n| json!({"name": "A", "value": n.to_string()}))
        .collect();
    assert_eq!(paths(&pod(&same), &pod(&same)), [""; 0]);
    assert_eq!(paths(&pod(&same), &pod(&same[1..])).len(), 20_000);
}

/// Deeper than the stack of a test's thread would carry a recursion; made and dropped without one.
struct Deep(Value);

impl Deep {
    fn new(depth: usize, inside: Value) -> Self {
        Self((0..depth).fold(inside, |value, _| {
            Value::Object([("a".to_owned(), value)].into_iter().collect())
        }))
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        let mut value = self.0.take();
        while let Some(inside) = value.get_mut("a").map(Value::take) {
            value = inside;
        }
    }
}

#[test]
fn deep_nesting_neither_panics_nor_is_missed() {
    let (one, same, other) = (
        Deep::new(50_000, json!(1)),
        Deep::new(50_000, json!(1)),
        Deep::new(50_000, json!(2)),
    );
    assert_eq!(paths(&one.0, &same.0), [""; 0]);
    let changes = diff(&one.0, &other.0);
    assert_eq!(changes.len(), 1);
    assert!(changes[0].before.to_string().contains("(nested too deeply)"));
    // The whole of it is missing.
    let changes = diff(&one.0, &json!({}));
    assert_eq!(changes.len(), 1);
    assert!(changes[0].to_string().contains("is gone"));
}

#[test]
fn unknown_fields_and_odd_types_are_compared() {
    let object = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": spec});
    let desired = object(
        json!({"replicas": 1, "new": {"limits": {"cpu": "1000m"}}, "template": {"spec": {"containers": [{"name": "a"}]}}}),
    );
    for (live, expected) in [
        (object(json!("text")), vec!["spec"]),
        (object(json!([])), vec!["spec"]),
        (object(json!(null)), vec!["spec"]),
        (
            object(
                json!({"replicas": {}, "new": {"limits": {"cpu": "1"}}, "template": {"spec": {"containers": {}}}}),
            ),
            vec!["spec.replicas", "spec.template.spec.containers"],
        ),
        (
            object(
                json!({"replicas": 1, "new": {"limits": {"cpu": "2"}}, "unknown": [[1]], "template": {"spec": {"containers": [1, null, {"name": []}, {"name": "a", "new": 1}]}}}),
            ),
            vec!["spec.new.limits.cpu"],
        ),
    ] {
        assert_eq!(paths(&desired, &live), expected, "{live}");
    }
    assert_eq!(paths(&json!(1), &json!([])).len(), 1);
    assert_eq!(paths(&json!({"apiVersion": 1, "kind": []}), &json!(null)), [""]);
}

//! JSON merge patch (RFC 7396), and what server-side apply makes of an object.

use serde_json::{Map, Value};

/// Merges a patch; `null` removes.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Makes the fields of `config` those of `target`, and takes out what the same manager applied `before` and does not
/// any more. What others set stays. A list is one value.
pub(super) fn apply(target: &mut Value, before: &Value, config: &Value) {
    let Value::Object(config) = config else {
        *target = config.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else {
        return;
    };
    if let Some(before) = before.as_object() {
        for key in before.keys().filter(|key| !config.contains_key(*key)) {
            if key != "resourceVersion" && key != "uid" {
                fields.remove(key);
            }
        }
    }
    for (key, value) in config {
        let was = before.get(key).unwrap_or(&Value::Null);
        apply(fields.entry(key.clone()).or_insert(Value::Null), was, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_applied_no_more_goes_and_what_others_set_stays() {
        let mut live = json!({"labels": {"a": "1", "b": "2", "others": "x"}, "list": [1, 2]});
        let before = json!({"labels": {"a": "1", "b": "2"}, "list": [1, 2]});
        apply(&mut live, &before, &json!({"labels": {"a": "9"}, "list": [3]}));
        assert_eq!(live, json!({"labels": {"a": "9", "others": "x"}, "list": [3]}));
    }

    #[test]
    fn null_removes() {
        let mut live = json!({"a": {"b": 1, "c": 2}});
        merge(&mut live, json!({"a": {"b": null, "d": 3}}));
        assert_eq!(live, json!({"a": {"c": 2, "d": 3}}));
    }
}

//! What a CRD's schema says of an object, beside its CEL rules: types, required and unknown fields, lengths, ranges, patterns.
//!
//! A structural schema is a small part of JSON Schema, and an API server refuses unknown fields of it where a JSON Schema would
//! take them, so it is walked here. Every fault is reported, not only the first.

use kidp_core::problem::FieldError;
use regex::Regex;
use serde_json::{Map, Value};

/// Every fault of `value` at `path` against `schema`. Values are never quoted: one may be a secret in the wrong place.
pub fn faults(schema: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    let mut walk = Walk { faults: Vec::new() };
    walk.value(schema, value, path);
    walk.faults
}

struct Walk {
    faults: Vec<FieldError>,
}

impl Walk {
    fn fault(&mut self, path: &str, message: impl Into<String>) {
        self.faults.push(FieldError::new(path, message));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if value.is_null() {
            if schema["nullable"] != true {
                self.fault(path, "must not be null");
            }
            return;
        }
        let kind = schema["type"].as_str().unwrap_or_default();
        if !is_of_type(kind, value) {
            return self.fault(path, format!("must be {}", article(kind)));
        }
        self.choice(schema, value, path);
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(_) => self.number(schema, value, path),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn choice(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(choices) = schema["enum"].as_array() else {
            return;
        };
        if !choices.contains(value) {
            let names: Vec<_> = choices
                .iter()
                .map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned))
                .collect();
            self.fault(path, format!("must be one of {}", names.join(", ")));
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !fields.contains_key(name) {
                self.fault(&below(path, name), "is required");
            }
        }
        if let Some(most) = schema["maxProperties"].as_u64()
            && fields.len() as u64 > most
        {
            self.fault(path, format!("can have at most {most} entries"));
        }
        for (name, field) in fields {
            let path = below(path, name);
            if let Some(known) = schema["properties"].get(name) {
                self.value(known, field, &path);
            } else if schema["additionalProperties"].is_object() {
                self.value(&schema["additionalProperties"], field, &path);
            } else if schema["x-kubernetes-preserve-unknown-fields"] != true
                && schema["additionalProperties"] != true
            {
                self.fault(&path, unknown(schema, name));
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], path: &str) {
        if let Some(most) = schema["maxItems"].as_u64()
            && items.len() as u64 > most
        {
            self.fault(path, format!("can have at most {most} entries"));
        }
        if let Some(least) = schema["minItems"].as_u64()
            && (items.len() as u64) < least
        {
            self.fault(path, format!("must have at least {least} entries"));
        }
        for (at, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{at}]"));
        }
        let identity = |item: &Value| match schema["x-kubernetes-list-map-keys"].as_array() {
            Some(keys) => keys
                .iter()
                .filter_map(Value::as_str)
                .map(|key| item[key].clone())
                .collect(),
            None => vec![item.clone()],
        };
        if matches!(schema["x-kubernetes-list-type"].as_str(), Some("set" | "map")) {
            for (at, item) in items.iter().enumerate() {
                if items[..at]
                    .iter()
                    .any(|earlier| identity(earlier) == identity(item))
                {
                    self.fault(&format!("{path}[{at}]"), "is there twice");
                }
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(most) = schema["maxLength"].as_u64()
            && length > most
        {
            self.fault(path, format!("must be at most {most} characters, has {length}"));
        }
        if let Some(least) = schema["minLength"].as_u64()
            && length < least
        {
            self.fault(path, format!("must be at least {least} characters, has {length}"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
        {
            self.fault(path, format!("must match {pattern}"));
        }
        if schema["format"] == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
            self.fault(
                path,
                "must be a time with an offset, such as 2027-01-01T00:00:00Z",
            );
        }
    }

    fn number(&mut self, schema: &Value, value: &Value, path: &str) {
        let number = value.as_f64().unwrap_or_default();
        if let Some(least) = schema["minimum"].as_f64()
            && number < least
        {
            self.fault(path, format!("must be at least {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64()
            && number > most
        {
            self.fault(path, format!("must be at most {most}"));
        }
    }
}

fn is_of_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    let hint = if kind == "string" { "; quote it" } else { "" };
    format!("{} {kind}{hint}", if vowel { "an" } else { "a" })
}

/// What to say of an unknown field: the known one that is nearest, where one is near.
fn unknown(schema: &Value, name: &str) -> String {
    let known = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(known, _)| known);
    let near = known
        .map(|known| {
            (
                strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase()),
                known,
            )
        })
        .min();
    match near {
        Some((distance, known)) if distance <= 2 => format!("is no field; did you mean `{known}`?"),
        _ => "is no field".to_owned(),
    }
}

fn below(path: &str, name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (path.is_empty(), plain) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (false, false) => format!("{path}[{name}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(schema: &Value, value: &Value) -> Vec<String> {
        faults(schema, value, "spec")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let schema = json!({"type": "object", "required": ["engine"], "properties": {
            "engine": {"type": "string", "enum": ["a", "b"]},
            "version": {"type": "string", "maxLength": 3, "pattern": "^[0-9]+$"},
            "count": {"type": "integer", "minimum": 1.0, "maximum": 5.0},
            "maybe": {"type": "string", "nullable": true},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "parameters": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}}});
        let value = json!({"version": 15, "verison": "1", "count": 9, "maybe": null, "tags": ["x", "x", 1],
            "parameters": {"a.b": 1, "c": "d"}});
        assert_eq!(
            told(&schema, &value),
            [
                "spec.engine: is required",
                "spec.count: must be at most 5",
                "spec.parameters: can have at most 1 entries",
                "spec.parameters[a.b]: must be a string; quote it",
                "spec.tags: can have at most 2 entries",
                "spec.tags[2]: must be a string; quote it",
                "spec.tags[1]: is there twice",
                "spec.verison: is no field; did you mean `version`?",
                "spec.version: must be a string; quote it",
            ]
        );
        assert_eq!(
            told(&schema, &json!({"engine": "c", "version": "abcd"})),
            [
                "spec.engine: must be one of a, b",
                "spec.version: must be at most 3 characters, has 4",
                "spec.version: must match ^[0-9]+$",
            ]
        );
        assert!(told(&schema, &json!({"engine": "a"})).is_empty());
        assert_eq!(told(&schema, &Value::Null), ["spec: must not be null"]);
    }

    #[test]
    fn what_is_to_be_kept_has_no_unknown_fields() {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        assert!(told(&open, &json!({"a": 1})).is_empty());
    }
}

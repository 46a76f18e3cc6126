//! Paths of fields, as people and `managedFields` write them. Steps borrow, so that a path costs nothing until there
//! is a difference to report at it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::Keys;

/// One step from an object to a field of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// A field of a map; `f:name` in `managedFields`.
    Field(&'a str),
    /// The `nth` item with the same merge keys (`k:{...}`), from 0; more than one is a mistake that the server allows.
    Item(Keys, &'a Value, usize),
    /// A member of a set (`v:...`).
    Member(&'a Value),
    /// An item by its position.
    Index(usize),
}

/// The path on one line: `spec.containers[name=a].image`, `metadata.labels[example.com/team]`.
pub(crate) fn shown(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        push(&mut text, step);
    }
    text
}

/// Adds a step to a path.
pub(crate) fn push(text: &mut String, step: &Step<'_>) {
    // Writing to a string does not fail.
    let _ = match step {
        Step::Field(name) if name.contains(['.', '/', '[', ']', ' ']) => write!(text, "[{name}]"),
        Step::Field(name) if text.is_empty() => write!(text, "{name}"),
        Step::Field(name) => write!(text, ".{name}"),
        Step::Item(keys, item, nth) => {
            let keys: Vec<_> = keys
                .iter()
                .map(|(key, default)| key_of(item, key, default))
                .collect();
            let again = if *nth > 0 {
                format!("#{}", nth + 1)
            } else {
                String::new()
            };
            write!(text, "[{}{again}]", keys.join(","))
        }
        Step::Member(value) => write!(text, "[={}]", plain(value)),
        Step::Index(index) => write!(text, "[{index}]"),
    };
}

fn key_of(item: &Value, key: &str, default: &str) -> String {
    format!("{key}={}", item.get(key).map_or(default.to_owned(), plain))
}

/// The name of a step in `managedFields`; none where the API server records no such step.
pub(crate) fn owned(step: &Step<'_>) -> Option<String> {
    match step {
        Step::Field(name) => Some(format!("f:{name}")),
        Step::Item(keys, item, _) => {
            let keys: Vec<_> = keys
                .iter()
                .map(|(key, default)| {
                    let value = item.get(*key).map_or_else(|| Value::from(*default), Value::clone);
                    format!("{}:{value}", Value::from(*key))
                })
                .collect();
            Some(format!("k:{{{}}}", keys.join(",")))
        }
        Step::Member(value) => Some(format!("v:{value}")),
        Step::Index(_) => None,
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

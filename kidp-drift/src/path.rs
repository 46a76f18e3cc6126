//! Paths of fields, as people read them.

use serde_json::Value;

/// One step from an object to a field of it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A field of a map; `f:name` in `managedFields`.
    Field(String),
    /// An item of a list: its merge keys as a map (`k:{...}` in `managedFields`), or its position.
    Item(Value),
}

/// The path on one line: `spec.containers[name=a].image`, `metadata.labels[example.com/team]`.
pub(crate) fn shown(path: &[Step]) -> String {
    let mut text: String = path.iter().map(step).collect();
    if text.starts_with('.') {
        text.remove(0);
    }
    text
}

fn step(step: &Step) -> String {
    match step {
        Step::Field(name) if name.contains(['.', '/']) => format!("[{name}]"),
        Step::Field(name) => format!(".{name}"),
        Step::Item(Value::Object(keys)) => {
            let keys: Vec<_> = keys
                .iter()
                .map(|(key, value)| format!("{key}={}", plain(value)))
                .collect();
            format!("[{}]", keys.join(","))
        }
        Step::Item(index) => format!("[{index}]"),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

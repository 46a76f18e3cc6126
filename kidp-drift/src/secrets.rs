//! What must not be shown: everything in a Secret but what names and sorts it. Annotations are hidden as well, since
//! `kubectl apply` keeps a copy of the whole object in one.

use serde_json::Value;

const HIDDEN: &str = "(hidden)";

/// Whether the values of a field stay hidden.
pub(crate) fn hides(object: &str, path: &str) -> bool {
    let shown = matches!(path, "apiVersion" | "immutable" | "kind" | "type")
        || (path.starts_with("metadata.") && !path.starts_with("metadata.annotations"));
    object.starts_with("Secret/") && !shown
}

/// That there is a value, and not which.
pub(crate) fn hidden(value: &Value) -> Value {
    if value.is_null() {
        Value::Null
    } else {
        Value::from(HIDDEN)
    }
}

//! The comparison.

use serde_json::Value;

use crate::author;
use crate::change::Change;
use crate::consequence::Consequence;
use crate::path;
use crate::schema::Type;
use crate::walk::{Found, Walk, bounded};

/// Field managers whose writes are no drift: KIDP's.
pub(crate) const OWN: &[&str] = &["kidp-broker", "kidp-operator"];

/// Every field of `desired` that `live` does not hold.
///
/// Both are whole objects as the API server serves them. `status` and what the server alone writes in `metadata`
/// (`managedFields`, `resourceVersion`, ...) are not compared. The values of a Secret are left out.
pub fn diff(desired: &Value, live: &Value) -> Vec<Change> {
    diff_as(OWN, desired, live)
}

/// [`diff`] for a host with other field managers: one in `own` is named as an author only where nobody else owns the
/// field.
pub fn diff_as(own: &[&str], desired: &Value, live: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut object = None;
    let report = |found: Found<'_, '_>| {
        let object = object.get_or_insert_with(|| key(desired, live));
        let change = Change {
            object: object.clone(),
            path: path::shown(found.path),
            before: bounded(found.desired),
            after: found.live.map_or(Value::Null, bounded),
            added: false,
            consequence: Consequence::None,
            author: found.live.and_then(|_| author::of(live, found.path, own)),
        };
        changes.push(change.without_secrets());
    };
    Walk::new(report).object(Type::of(desired), desired, live);
    changes
}

/// `Kind/name` of the object.
pub(crate) fn key(desired: &Value, live: &Value) -> String {
    let text = |pointer: &str| {
        [desired, live]
            .into_iter()
            .find_map(|object| object.pointer(pointer).and_then(Value::as_str))
            .unwrap_or_default()
    };
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}

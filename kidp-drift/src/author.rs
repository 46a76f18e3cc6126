//! Who changed a field: read from `metadata.managedFields`.
//!
//! Format: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#managedfields>. Best effort: the
//! API server records owners, not a history, and a field that was removed has no owner any more.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::path::Step;

/// The last manager known to have written a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Author {
    /// Field manager, such as `kubectl-edit`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// When it wrote last (any field of the object), RFC 3339.
    pub time: Option<String>,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.manager, self.operation)?;
        match &self.time {
            Some(time) => write!(f, " at {time}"),
            None => Ok(()),
        }
    }
}

/// The owner of the deepest part of `path` that has one; the latest where there are several.
pub(crate) fn of(live: &Value, path: &[Step]) -> Option<Author> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    entries
        .iter()
        .filter_map(|entry| {
            let depth = depth(entry.get("fieldsV1")?, path);
            (depth > 0).then(|| (depth, text(entry, "time"), entry))
        })
        .max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)))
        .filter(|(depth, ..)| *depth == path.len())
        .map(|(_, time, entry)| Author {
            manager: text(entry, "manager").unwrap_or_default(),
            operation: text(entry, "operation").unwrap_or_default(),
            time,
        })
}

fn text(entry: &Value, key: &str) -> Option<String> {
    entry.get(key)?.as_str().map(ToOwned::to_owned)
}

/// How many steps of `path` an owner's field set holds. A leaf (`{}`) owns everything below it.
fn depth(fields: &Value, path: &[Step]) -> usize {
    let mut at = fields;
    for (index, step) in path.iter().enumerate() {
        let next = match step {
            Step::Field(name) => at.get(format!("f:{name}")),
            Step::Item(keys) => at.as_object().and_then(|map| {
                map.iter()
                    .find(|(name, _)| {
                        name.strip_prefix("k:")
                            .is_some_and(|k| serde_json::from_str::<Value>(k).is_ok_and(|v| v == *keys))
                    })
                    .map(|(_, value)| value)
            }),
        };
        match next {
            Some(value) => at = value,
            None if index > 0 && at.as_object().is_some_and(serde_json::Map::is_empty) => return path.len(),
            None => return index,
        }
    }
    path.len()
}

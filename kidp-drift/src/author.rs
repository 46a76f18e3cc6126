//! Who changed a field: read from `metadata.managedFields`.
//!
//! Format: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#managedfields>. Best effort: the
//! API server records owners, not a history. Its time is that of the manager's last write to any field, and a field
//! that was removed has no owner any more, so that nobody is blamed for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::path::{self, Step};

/// A field set with more keyed items than this is not searched for a key that is written in an unusual way.
const SEARCHED: usize = 64;

/// The last manager known to have written a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Field manager, such as `kubectl-edit`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// When it wrote last (any field of the object), RFC 3339.
    pub time: Option<String>,
    /// Through which subresource, such as `scale`; none for the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.manager, self.operation)?;
        if let Some(subresource) = &self.subresource {
            write!(f, " of {subresource}")?;
        }
        match &self.time {
            Some(time) => write!(f, " at {time}"),
            None => Ok(()),
        }
    }
}

/// The owner of `path`: of several the latest, and one of the managers in `own` only where there is no other.
pub(crate) fn of(live: &Value, path: &[Step<'_>], own: &[&str]) -> Option<Author> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let names: Vec<_> = path.iter().map(path::owned).collect();
    let entry = entries
        .iter()
        .filter(|entry| entry.get("fieldsV1").is_some_and(|fields| owns(fields, &names)))
        .max_by_key(|entry| (!own.contains(&text(entry, "manager")), text(entry, "time")))?;
    let optional = |field| {
        Some(text(entry, field))
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
    };
    Some(Author {
        manager: text(entry, "manager").to_owned(),
        operation: text(entry, "operation").to_owned(),
        time: optional("time"),
        subresource: optional("subresource"),
    })
}

/// Every manager that owns `path`.
pub(crate) fn owners<'a>(live: &'a Value, path: &[Step<'_>]) -> impl Iterator<Item = &'a str> {
    let names: Vec<_> = path.iter().map(path::owned).collect();
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    let of_path =
        entries.filter(move |entry| entry.get("fieldsV1").is_some_and(|fields| owns(fields, &names)));
    of_path.map(|entry| text(entry, "manager"))
}

pub(crate) fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a field set holds a path. A leaf (`{}`) owns everything below it.
fn owns(fields: &Value, path: &[Option<String>]) -> bool {
    let mut at = fields;
    for (index, name) in path.iter().enumerate() {
        let Some(map) = at.as_object() else { return false };
        if index > 0 && map.is_empty() {
            return true;
        }
        match name.as_deref().and_then(|name| entry(map, name)) {
            Some(value) => at = value,
            None => return false,
        }
    }
    true
}

/// What a field set has below a step of this name.
pub(crate) fn entry<'a>(map: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| respelled(map, name))
}

/// The keys or the member `name`, written with other blanks or in another order.
fn respelled<'a>(map: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    let (prefix, json) = name.split_at_checked(2).filter(|(prefix, _)| *prefix != "f:")?;
    if map.len() > SEARCHED {
        return None;
    }
    let wanted: Value = serde_json::from_str(json).ok()?;
    map.iter()
        .find(|(name, _)| {
            name.strip_prefix(prefix)
                .is_some_and(|json| serde_json::from_str::<Value>(json).is_ok_and(|value| value == wanted))
        })
        .map(|(_, value)| value)
}

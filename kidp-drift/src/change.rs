//! One field that is not as it was asked for.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::author::Author;

/// A field whose live value is not the desired one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The object, as `Kind/name`.
    pub object: String,
    /// Path of the field, such as `spec.template.spec.containers[name=postgresql].image`; empty when the whole
    /// object is missing.
    pub path: String,
    /// What was asked for.
    pub before: Value,
    /// What is there now; null when nothing is.
    pub after: Value,
    /// Who owns the field now, as far as `managedFields` tells.
    pub author: Option<Author>,
}

impl Change {
    /// An object that should be there and is not.
    pub fn missing(object: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            path: String::new(),
            before: Value::Null,
            after: Value::Null,
            author: None,
        }
    }

    /// The same change without its values, for objects that hold secrets.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let hide = |value: &mut Value| {
            if !value.is_null() {
                *value = Value::from("(hidden)");
            }
        };
        hide(&mut self.before);
        hide(&mut self.after);
        self
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "{} is missing", self.object);
        }
        write!(f, "{} {}: {} ", self.object, self.path, shown(&self.before))?;
        if self.after.is_null() {
            write!(f, "is gone")?;
        } else {
            write!(f, "became {}", shown(&self.after))?;
        }
        match &self.author {
            Some(author) => write!(f, " (by {author})"),
            None => Ok(()),
        }
    }
}

/// A value on one line, cut where it is long: a report is read by people.
fn shown(value: &Value) -> String {
    const LIMIT: usize = 80;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line = text.replace('\n', "\\n");
    if line.chars().count() > LIMIT {
        line = line.chars().take(LIMIT).chain("...".chars()).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_keeps_the_path_and_hides_the_values() {
        let change = Change {
            path: "data.password".to_owned(),
            before: "c2VjcmV0".into(),
            ..Change::missing("Secret/orders")
        };
        let text = change.redacted().to_string();
        assert_eq!(text, "Secret/orders data.password: (hidden) is gone");
    }
}

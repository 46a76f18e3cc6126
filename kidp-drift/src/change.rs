//! One field that is not as it was asked for.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::author::Author;
use crate::consequence::Consequence;
use crate::secrets;

/// A field whose live value is not the desired one.
///
/// The values of a Secret are never printed or serialised, whoever made the change: only that they differ.
#[derive(Clone, PartialEq, Eq, Deserialize)]
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
    /// Whether others added it: nobody asked for anything there, so `before` is null. See [`crate::additions`].
    #[serde(default)]
    pub added: bool,
    /// What putting the field right does to the instance. [`crate::diff`] knows fields, not engines, and says
    /// [`Consequence::None`].
    pub consequence: Consequence,
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
            added: false,
            consequence: Consequence::None,
            author: None,
        }
    }

    /// The same change without its values, for objects that hold secrets.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.before = secrets::hidden(&self.before);
        self.after = secrets::hidden(&self.after);
        self
    }

    /// [`Change::redacted`] where it is of a Secret.
    pub(crate) fn without_secrets(self) -> Self {
        if secrets::hides(&self.object, &self.path) {
            self.redacted()
        } else {
            self
        }
    }

    /// `before` and `after` as they may be shown.
    pub(crate) fn shown(&self) -> [Cow<'_, Value>; 2] {
        let hide = secrets::hides(&self.object, &self.path);
        [&self.before, &self.after].map(|value| {
            if hide {
                Cow::Owned(secrets::hidden(value))
            } else {
                Cow::Borrowed(value)
            }
        })
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.shown();
        f.debug_struct("Change")
            .field("object", &self.object)
            .field("path", &self.path)
            .field("before", &before)
            .field("after", &after)
            .field("added", &self.added)
            .field("consequence", &self.consequence)
            .field("author", &self.author)
            .finish()
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [before, after] = self.shown();
        let mut fields = serializer.serialize_struct("Change", 6 + usize::from(self.added))?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("before", &before)?;
        fields.serialize_field("after", &after)?;
        if self.added {
            fields.serialize_field("added", &true)?;
        } else {
            fields.skip_field("added")?;
        }
        fields.serialize_field("consequence", &self.consequence)?;
        fields.serialize_field("author", &self.author)?;
        fields.end()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "{} is missing", self.object);
        }
        let [before, after] = self.shown();
        write!(f, "{} {}: ", self.object, self.path)?;
        if self.added {
            write!(f, "added by others, {}", line(&after))?;
        } else if after.is_null() {
            write!(f, "{} is gone", line(&before))?;
        } else {
            write!(f, "{} became {}", line(&before), line(&after))?;
        }
        match &self.author {
            Some(author) => write!(f, " (by {author})"),
            None => Ok(()),
        }
    }
}

/// A value on one line, cut where it is long: a report is read by people.
fn line(value: &Value) -> String {
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

    #[test]
    fn a_secrets_values_are_shown_by_no_way_out() {
        let change = |path: &str| Change {
            path: path.to_owned(),
            before: "hunter2".into(),
            after: serde_json::json!({"inside": "hunter2"}),
            ..Change::missing("Secret/orders")
        };
        for path in [
            "data.password",
            "data",
            "stringData",
            "metadata",
            "metadata.annotations[a/b]",
            "new",
        ] {
            let change = change(path);
            let all = [
                format!("{change} {change:?} {change:#?}"),
                serde_json::to_string(&change).unwrap(),
                crate::listing(std::slice::from_ref(&change)).to_string(),
            ];
            for text in all {
                assert!(
                    text.contains("(hidden)") && !text.contains("hunter2"),
                    "{path}: {text}"
                );
            }
        }
        assert!(change("metadata.labels.team").to_string().contains("hunter2"));
    }

    #[test]
    fn json_has_stable_names_and_comes_back() {
        let change = Change {
            path: "spec.replicas".to_owned(),
            before: 1.into(),
            after: 3.into(),
            consequence: Consequence::RollingRestart,
            author: Some(Author {
                manager: "kubectl".to_owned(),
                operation: "Update".to_owned(),
                time: None,
                subresource: Some("scale".to_owned()),
            }),
            ..Change::missing("StatefulSet/orders")
        };
        let json = serde_json::json!({
            "object": "StatefulSet/orders", "path": "spec.replicas", "before": 1, "after": 3,
            "consequence": "rolling-restart",
            "author": {"manager": "kubectl", "operation": "Update", "time": null, "subresource": "scale"}
        });
        assert_eq!(serde_json::to_value(&change).unwrap(), json);
        assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
    }
}

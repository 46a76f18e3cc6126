//! Changes as a text that people read: grouped by object, with `-` for what was asked for and `+` for what is there.
//! Values of several lines, such as a configuration file, are shown as a diff of their lines.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::change::Change;

/// Unchanged lines around a changed one.
const AROUND: usize = 2;
/// Lines of one value that are shown.
const LINES: usize = 100;
/// Characters of a line that are shown.
const WIDTH: usize = 160;
/// After this time the lines are paired less well, and not longer.
const PATIENCE: Duration = Duration::from_millis(200);

/// Changes that print as a text of several lines.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a>(&'a [Change]);

/// The changes as a text of several lines; those of one object are to follow each other, as they do from
/// [`crate::diff`].
pub fn listing(changes: &[Change]) -> Listing<'_> {
    Listing(changes)
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.0.chunk_by(|a, b| a.object == b.object) {
            if let [first, ..] = group {
                writeln!(f, "{}", first.object)?;
            }
            for change in group {
                heading(f, change)?;
                values(f, change)?;
            }
        }
        Ok(())
    }
}

/// The field, what its change does, and who made it.
fn heading(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let path = if change.path.is_empty() {
        "is missing"
    } else {
        &change.path
    };
    let added = if change.added { "added by others; " } else { "" };
    write!(f, "  {path} ({added}{}", change.consequence)?;
    match &change.author {
        Some(author) => writeln!(f, "; {author})"),
        None => writeln!(f, ")"),
    }
}

fn values(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let [before, after] = change.shown();
    let [old, new] = [text(&before), text(&after)];
    if old.lines().nth(1).is_none() && new.lines().nth(1).is_none() {
        for (sign, value, text) in [('-', &before, &old), ('+', &after, &new)] {
            if !value.is_null() {
                line(f, sign, text)?;
            }
        }
        return Ok(());
    }
    lines(f, &old, &new)
}

/// A text as it is, `null` as nothing, and anything else as JSON of several lines.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(serde_json::to_string_pretty(other).unwrap_or_default()),
    }
}

fn lines(f: &mut fmt::Formatter<'_>, old: &str, new: &str) -> fmt::Result {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let mut left = LINES;
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if at > 0 {
            line(f, ' ', "...")?;
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            if left == 0 {
                return line(f, ' ', "... and more");
            }
            left -= 1;
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            line(f, sign, change.value().trim_end_matches(['\n', '\r']))?;
        }
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, sign: char, text: &str) -> fmt::Result {
    let rest = text.char_indices().nth(WIDTH);
    match rest {
        Some((end, _)) => writeln!(f, "    {sign} {}...", text.get(..end).unwrap_or_default()),
        None => writeln!(f, "    {sign} {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Author, Consequence};

    #[test]
    fn changes_read_as_a_diff() {
        let config = |size: &str| -> Value {
            let before = "a = 1\nb = 2\nc = 3\nd = 4\n";
            format!("{before}work_mem = {size}\ne = 5\n").into()
        };
        let changes = [
            Change {
                path: "spec.replicas".to_owned(),
                before: 1.into(),
                after: 3.into(),
                author: Some(Author {
                    manager: "kubectl".to_owned(),
                    operation: "Update".to_owned(),
                    subresource: Some("scale".to_owned()),
                    ..Author::default()
                }),
                ..Change::missing("StatefulSet/orders")
            },
            Change {
                path: "metadata.labels.team".to_owned(),
                before: "payments".into(),
                ..Change::missing("StatefulSet/orders")
            },
            Change {
                path: "data[postgresql.conf]".to_owned(),
                before: config("4MB"),
                after: config("64MB"),
                consequence: Consequence::Reload,
                ..Change::missing("ConfigMap/orders")
            },
            Change::missing("Service/orders"),
        ];
        let expected = "\
StatefulSet/orders
  spec.replicas (none; kubectl, Update of scale)
    - 1
    + 3
  metadata.labels.team (none)
    - payments
ConfigMap/orders
  data[postgresql.conf] (reload)
      c = 3
      d = 4
    - work_mem = 4MB
    + work_mem = 64MB
      e = 5
Service/orders
  is missing (none)
";
        assert_eq!(listing(&changes).to_string(), expected);
    }

    #[test]
    fn long_values_are_cut() {
        let long = |letter: &str| Value::from(format!("{}\n", letter.repeat(1000)).repeat(1000));
        let change = Change {
            path: "data.a".to_owned(),
            before: long("a"),
            after: long("ü"),
            ..Change::missing("ConfigMap/orders")
        };
        let text = listing(std::slice::from_ref(&change)).to_string();
        assert!(
            text.lines().count() <= LINES + 3 && text.ends_with("... and more\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 9));
    }
}

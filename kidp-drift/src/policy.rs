//! What is done about a change: put back, reported or neither. Pure, and knows nothing of clocks or clusters.
//!
//! The settings come as levels, the closest to the instance first: its own, its team's. In a level the first rule that
//! fits holds, then its policy for the rest. Where no level says anything, all is put back but for what is
//! [guarded](guard): configuration, missing objects and scaling are, data and versions are not.

use serde_json::Value;

use crate::change::Change;
use crate::consequence::Consequence;
use crate::quantity;
use crate::schema::guess;

/// What is done about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Put it back.
    Remediate,
    /// Say so.
    Alert,
    /// Nothing.
    Ignore,
}

/// What is done about some fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The objects: a kind or `Kind/name`, in which `*` stands for any text.
    pub object: String,
    /// Their fields, and whatever is below; all when none.
    pub path: Option<String>,
    /// What is done.
    pub policy: Policy,
}

/// Settings of one who has a say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// For single fields; the first that fits holds.
    pub rules: Vec<Rule>,
    /// For the rest, if it says something of it. [`Policy::Remediate`] leaves what is [guarded](guard) guarded.
    pub policy: Option<Policy>,
}

/// Why a change is reported and not put back, although nobody said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It would lose data.
    DataLoss,
    /// It would need the object to be made anew, which an apply does not do.
    Recreate,
    /// It would go to another major version, which may not open the data.
    MajorVersion,
    /// Others added it, and may need it.
    Added,
    /// It is more of what costs money than was asked for: somebody gave it for a reason, and taking it away disturbs.
    Cost,
}

impl Guard {
    /// For a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataLoss => "putting it back would lose data",
            Self::Recreate => "putting it back would need the object to be made anew",
            Self::MajorVersion => "it is another major version",
            Self::Added => "others added it",
            Self::Cost => "it is more than was asked for",
        }
    }
}

/// What is done about a change, by these levels. A loss of data is never brought about, and what is there is never deleted,
/// nor what others added, whatever they say.
pub fn decide(levels: &[Level], change: &Change) -> Policy {
    let said = levels.iter().find_map(|level| {
        let rule = level.rules.iter().find(|rule| rule.fits(change));
        // A rule names the field, so it lifts its guard.
        rule.map(|rule| (rule.policy, true))
            .or(level.policy.map(|policy| (policy, false)))
    });
    let (policy, is_named) = said.unwrap_or((Policy::Remediate, false));
    match guard(change) {
        Some(Guard::DataLoss | Guard::Recreate | Guard::Added) if policy == Policy::Remediate => {
            Policy::Alert
        }
        Some(_) if policy == Policy::Remediate && !is_named => Policy::Alert,
        _ => policy,
    }
}

impl Rule {
    /// Whether it speaks of the change.
    pub fn fits(&self, change: &Change) -> bool {
        let kind = change.object.split('/').next().unwrap_or_default();
        let is_object = matches_glob(&self.object, kind) || matches_glob(&self.object, &change.object);
        is_object
            && self
                .path
                .as_ref()
                .is_none_or(|prefix| is_below(&change.path, prefix))
    }
}

/// Whether `path` is the field `prefix` or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether `text` is `pattern`, in which `*` stands for any text. Greedy with one way back, so never worse than the
/// product of the lengths.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut back = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = back {
            back = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Why a change is not put back unless somebody says so.
pub fn guard(change: &Change) -> Option<Guard> {
    let kind = change.object.split('/').next().unwrap_or_default();
    let is_missing = change.path.is_empty();
    if change.added {
        Some(Guard::Added)
    } else if change.consequence == Consequence::DataLoss {
        Some(Guard::DataLoss)
    } else if change.consequence == Consequence::Recreate && !is_missing {
        Some(Guard::Recreate)
    } else if is_other_major(change) {
        Some(Guard::MajorVersion)
    } else if is_more_size(change) {
        Some(Guard::Cost)
    } else {
        // A claim that is gone took its data along; a new one is an empty one.
        (kind == "PersistentVolumeClaim" && is_missing).then_some(Guard::DataLoss)
    }
}

fn is_other_major(change: &Change) -> bool {
    let is_image = [".image", ".imageName"]
        .iter()
        .any(|end| change.path.ends_with(end));
    let major = |value: &Value| {
        let (_, tag) = value.as_str()?.rsplit('/').next()?.split_once(':')?;
        let digits = tag.split('@').next()?.trim_start_matches('v');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse::<u32>().ok()
    };
    is_image && matches!((major(&change.before), major(&change.after)), (Some(a), Some(b)) if a != b)
}

/// Whether the live field has more CPU, memory or storage than was asked for.
fn is_more_size(change: &Change) -> bool {
    let mut steps = change.path.rsplit('.');
    let (name, parent) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    let is_size = guess::is_quantity(parent, name)
        || change.path == "spec.storage.size"
        || (parent == "requests" && name == "storage");
    is_size && quantity::is_more(&change.after, &change.before)
}

#[cfg(test)]
mod tests;

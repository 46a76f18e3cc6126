//! What a comparison of a whole instance with its cluster found.

use std::fmt;

use serde::Serialize;

use crate::change::Change;
use crate::consequence::Consequence;

/// What differs, and what could not be seen. An instance is in sync only where both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Fields that are not as they were asked for, and objects that are missing.
    pub changes: Vec<Change>,
    /// Objects that nothing is known of: they may be in sync or not.
    pub unknown: Vec<Unknown>,
}

impl Drift {
    /// Whether everything was seen and nothing differs.
    pub fn is_in_sync(&self) -> bool {
        self.changes.is_empty() && self.unknown.is_empty()
    }

    /// The gravest of what putting all of it right does.
    pub fn consequence(&self) -> Consequence {
        let of_each = self.changes.iter().map(|change| change.consequence);
        of_each.max().unwrap_or_default()
    }
}

/// An object that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The object, as `Kind/name`.
    pub object: String,
    /// Why.
    pub reason: UnknownReason,
}

/// Why an object could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownReason {
    /// Its kind may not be read; the API server's words.
    Forbidden(String),
    /// The cluster does not serve its kind.
    NotServed,
    /// It is made from another object, `Kind/name`, which could not be read.
    DependsOn(String),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is unknown: ", self.object)?;
        match &self.reason {
            UnknownReason::Forbidden(said) => write!(f, "{said}"),
            UnknownReason::NotServed => write!(f, "the cluster does not serve its kind"),
            UnknownReason::DependsOn(other) => write!(f, "{other} cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_not_in_sync() {
        let mut drift = Drift::default();
        assert!(drift.is_in_sync());
        drift.unknown.push(Unknown {
            object: "Secret/orders".to_owned(),
            reason: UnknownReason::Forbidden("secrets is forbidden".to_owned()),
        });
        assert!(!drift.is_in_sync());
        assert_eq!(
            drift.unknown[0].to_string(),
            "Secret/orders is unknown: secrets is forbidden"
        );
    }

    #[test]
    fn the_gravest_consequence_counts() {
        let change = |consequence| Change {
            consequence,
            ..Change::missing("S/n")
        };
        let drift = Drift {
            changes: vec![
                change(Consequence::Recreate),
                change(Consequence::None),
                change(Consequence::RollingRestart),
            ],
            unknown: Vec::new(),
        };
        assert_eq!(drift.consequence(), Consequence::Recreate);
        assert_eq!(Drift::default().consequence(), Consequence::None);
    }
}

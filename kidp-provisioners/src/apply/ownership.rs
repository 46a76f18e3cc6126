//! Whose an object is, by its labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kidp_core::labels;

use super::ApplyError;
use crate::resources::meta::{RETAINED, Scope};

/// What an object is to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Its own.
    Ours,
    /// Left by an earlier instance of this name and team, to be adopted.
    Retained,
    /// On its way out, whether of this or of an earlier instance.
    Deleting,
    /// Someone else's.
    Foreign,
}

impl Ownership {
    /// Refuses everything but an own object.
    pub(super) fn require_ours(self, object: impl FnOnce() -> String) -> Result<(), ApplyError> {
        match self {
            Self::Ours => Ok(()),
            Self::Deleting => Err(ApplyError::StillDeleting { object: object() }),
            Self::Retained | Self::Foreign => Err(ApplyError::NameCollision { object: object() }),
        }
    }

    /// Refuses everything but an own or an adoptable object.
    pub(super) fn require_usable(self, object: impl FnOnce() -> String) -> Result<(), ApplyError> {
        match self {
            Self::Retained => Ok(()),
            other => other.require_ours(object),
        }
    }
}

/// What an object is to the instance of `scope`.
pub(super) fn of(meta: &ObjectMeta, scope: &Scope<'_>) -> Ownership {
    let label = |key: &str| {
        meta.labels
            .as_ref()
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let same_name = label(labels::MANAGED_BY_KEY) == Some(labels::MANAGED_BY)
        && scope
            .selector()
            .iter()
            .all(|(key, value)| label(key) == Some(value));
    if !same_name {
        return Ownership::Foreign;
    }
    if meta.deletion_timestamp.is_some() {
        return Ownership::Deleting;
    }
    // Data of another team is not handed over with a name. A claim has no team; its Secret has.
    let same_team = label(labels::TEAM).is_none_or(|team| team == labels::value(&scope.instance.team));
    if label(RETAINED) == Some("true") {
        return if same_team {
            Ownership::Retained
        } else {
            Ownership::Foreign
        };
    }
    if label(labels::DEPLOYMENT_ID) == Some(scope.instance.deployment_id.as_str()) {
        Ownership::Ours
    } else {
        Ownership::Foreign
    }
}

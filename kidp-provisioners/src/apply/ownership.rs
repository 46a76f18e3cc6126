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
    /// Somebody else's, which is to become its own.
    Adopted,
    /// Left by an earlier instance of this name and team, to be adopted.
    Retained,
    /// On its way out, whether of this or of an earlier instance.
    Deleting,
    /// Someone else's.
    Foreign,
}

impl Ownership {
    /// Refuses everything but an own object, or one that is to become it.
    pub(super) fn require_ours(self, object: impl FnOnce() -> String) -> Result<(), ApplyError> {
        match self {
            Self::Ours | Self::Adopted => Ok(()),
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
            .identity()
            .iter()
            .all(|(key, value)| label(key) == Some(value));
    if !same_name {
        // What another instance has taken over meanwhile stays its own.
        let is_taken =
            label(labels::MANAGED_BY_KEY) == Some(labels::MANAGED_BY) && label(RETAINED) != Some("true");
        return if is_taken {
            Ownership::Foreign
        } else {
            foreign(meta, scope)
        };
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

/// What was looked at to be taken over is known by its UID, whatever its labels say by now.
fn foreign(meta: &ObjectMeta, scope: &Scope<'_>) -> Ownership {
    let is_meant = scope.adopted().is_some_and(|adopted| {
        let uid = meta.uid.as_deref();
        uid.is_some() && (uid == Some(&adopted.uid) || uid == Some(&adopted.claim_uid))
    });
    match (is_meant, meta.deletion_timestamp.is_some()) {
        (false, _) => Ownership::Foreign,
        (true, true) => Ownership::Deleting,
        (true, false) => Ownership::Adopted,
    }
}

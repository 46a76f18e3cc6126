//! Deterministic identity of one deployment: the same request always has the same id.

use crate::names::short_hash;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const PREFIX: &str = "deploy-";
const HEX_CHARS: usize = 32;

/// Identifies one instance at one broker: `deploy-` and 32 hex digits (128 bits).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DeploymentId(String);

/// The text is not a deployment id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be `deploy-` followed by 32 lower-case hex digits")]
pub struct DeploymentIdError;

impl DeploymentId {
    /// Derives the id from what identifies an instance: the target broker, the namespace, kind and name of the
    /// resource, and its UID, so that a resource made anew under an old name is another instance.
    pub fn derive(target: &str, namespace: &str, kind: &str, name: &str, uid: &str) -> Self {
        Self(format!(
            "{PREFIX}{}",
            short_hash(&[target, namespace, kind, name, uid], HEX_CHARS)
        ))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = DeploymentIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hex = text.strip_prefix(PREFIX).ok_or(DeploymentIdError)?;
        let valid = hex.len() == HEX_CHARS && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text))
        } else {
            Err(DeploymentIdError)
        }
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> Self {
        id.0
    }
}

impl std::fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_input_same_id_and_parts_do_not_run_together() {
        let id = |ns, name| DeploymentId::derive("eu", ns, "Database", name, "uid");
        assert_eq!(id("a", "b"), id("a", "b"));
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }

    #[test]
    fn only_well_formed_ids_parse() {
        let id = DeploymentId::derive("t", "n", "k", "m", "u");
        assert_eq!(DeploymentId::try_from(id.to_string()), Ok(id));
        for bad in ["", "deploy-", "deploy-XYZ", "x", "deploy-0123"] {
            assert_eq!(
                DeploymentId::try_from(bad.to_owned()),
                Err(DeploymentIdError),
                "{bad}"
            );
        }
    }
}

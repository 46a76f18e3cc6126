//! What the operator says of a `Cluster`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// The status of a `Cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// What the operator is doing, as a sentence.
    #[serde(default)]
    pub phase: String,
    /// More about it.
    #[serde(default)]
    pub phase_reason: String,
    /// Members that are ready.
    #[serde(default)]
    pub ready_instances: i32,
    /// The pod that takes writes.
    #[serde(default)]
    pub current_primary: String,
    /// What holds, by type; `Ready` among them.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The phase in which there is nothing left to do.
pub const HEALTHY: &str = "Cluster in healthy state";

/// Phases that are not left without help.
/// <https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.29.1/api/v1/cluster_types.go>
pub const STUCK: [&str; 7] = [
    "Cluster is unrecoverable and needs manual intervention",
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    "Cluster cannot proceed to reconciliation due to an error while interacting with plugins",
    "Cluster has incomplete or invalid image catalog",
    "Cluster cannot execute instance online upgrade due to missing architecture binary",
    "Unable to create required cluster objects",
    "Waiting for user action",
];

impl ClusterStatus {
    /// Whether the condition `Ready` is true.
    pub fn is_ready(&self) -> bool {
        let ready = self
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|condition| condition.status == "True")
    }
}

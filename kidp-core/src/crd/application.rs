//! `Application`: a piece of software of a team, which resources can belong to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LocalRef;

/// Desired state of an application.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "Application",
    plural = "applications",
    category = "kidp",
    namespaced,
    status = "ApplicationStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Team","type":"string","jsonPath":".spec.teamRef.name"}"#,
    printcolumn = r#"{"name":"Databases","type":"integer","jsonPath":".status.databases"}"#,
    printcolumn = r#"{"name":"Caches","type":"integer","jsonPath":".status.caches"}"#,
    printcolumn = r#"{"name":"Queues","type":"integer","jsonPath":".status.messageQueues"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationSpec {
    /// Name for people.
    #[schemars(length(min = 1, max = 200))]
    pub display_name: String,
    /// The team it belongs to. Fixed at creation: what it owns would change hands with it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("teamRef is fixed at creation"))]
    pub team_ref: LocalRef,
}

/// Observed state of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationStatus {
    /// Databases owned.
    pub databases: u32,
    /// Caches owned.
    pub caches: u32,
    /// Message queues owned.
    pub message_queues: u32,
    /// Ready, Reconciling and Stalled, as kstatus reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

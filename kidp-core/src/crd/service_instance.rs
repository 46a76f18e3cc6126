//! `ServiceInstance`: the broker's durable record of one request, in its own cluster.
//!
//! It is written before the request is accepted, so that a broker that dies right after its answer finds the
//! work again. Its name is the deployment id.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LocalRef, PendingChanges, Phase};
use crate::deployment::DeploymentId;
use crate::instance::{Adopted, InstanceSpec, OwnerRef, ResourceType};
use crate::revision::Revision;

/// An accepted request.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "broker.platform.company.com",
    version = "v1alpha1",
    kind = "ServiceInstance",
    plural = "serviceinstances",
    shortname = "si",
    category = "kidp",
    namespaced,
    status = "ServiceInstanceStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.resourceType"}"#,
    printcolumn = r#"{"name":"Resource","type":"string","jsonPath":".spec.resourceName"}"#,
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".spec.instance.engine"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Revision","type":"integer","jsonPath":".spec.renderRevision","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstanceSpec {
    /// Identity of the deployment; also the record's name.
    #[x_kube(validation = Rule::new("self == oldSelf").message("deploymentId is fixed at creation"))]
    pub deployment_id: DeploymentId,
    /// Kind of the resource that asked.
    pub resource_type: ResourceType,
    /// Name of the resource that asked; its namespace is the record's own.
    pub resource_name: String,
    /// UID of the resource that asked; empty where the client gave none.
    #[serde(default)]
    pub resource_uid: String,
    /// Generation of the resource that `instance` was taken from.
    #[serde(default)]
    pub resource_generation: i64,
    /// The team.
    pub team: String,
    /// The owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerRef>,
    /// Where callbacks go; none are sent when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The client that asked, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The rendering that the instance was made with. It stays as it is when the broker is upgraded; changing it by
    /// hand moves the instance to another rendering, which may restart its pods. 1 where a record has none.
    #[serde(default)]
    pub render_revision: Revision,
    /// The StatefulSet that was taken over, as it was found; absent where none was. It is the broker's to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// What is to be there.
    pub instance: InstanceSpec,
}

/// How far the broker has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceInstanceStatus {
    /// Where the instance is in its life.
    pub phase: Phase,
    /// `spec.resourceGeneration` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_generation: Option<i64>,
    /// `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What happened, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Stable reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Host name that clients connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Port that clients connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Secret with the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_secret_ref: Option<LocalRef>,
    /// Fingerprint of what was asked for when the instance was last usable; what differs from that is drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// What a changed spec does that is not in effect yet, counted before it is applied. None for an instance that is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<PendingChanges>,
    /// What differs from what was applied, and is left; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// Callbacks not yet acknowledged; at most the latest one is kept, since a later phase supersedes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<OutboxEntry>,
    /// Ready, Reconciling and Stalled, as kstatus reads them, and `InSync`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What is known of an instance's drift.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftStatus {
    /// How many fields and objects differ and are left.
    pub left: u32,
    /// How many objects cannot be seen.
    pub unknown: u32,
    /// What differs or cannot be seen, a line each; the first few of them. Never a secret value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// A callback that waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// Message id; the same for every attempt, so that the receiver can tell a repeat.
    pub id: String,
    /// The phase that it reports.
    pub phase: Phase,
    /// When it was queued.
    pub queued_at: Time,
    /// Rounds of attempts so far.
    #[serde(default)]
    pub rounds: u32,
}

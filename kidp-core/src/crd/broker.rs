//! `Broker`: a target cluster's broker, as the operator knows it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::ResourceType;

/// Desired state of a broker registration.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "Broker",
    plural = "brokers",
    category = "kidp",
    namespaced,
    status = "BrokerStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Region","type":"string","jsonPath":".spec.region"}"#,
    printcolumn = r#"{"name":"Provider","type":"string","jsonPath":".spec.cloudProvider"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Active","type":"integer","jsonPath":".status.activeDeployments"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.version"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("self.authentication.type in ['none', 'jwt'] || has(self.authentication.secretRef)")
    .message("authentication.secretRef is needed for this authentication type").field_path(".authentication"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerSpec {
    /// Base URL of the broker.
    #[schemars(length(min = 8, max = 500))]
    #[x_kube(validation = Rule::new("isURL(self) && (self.startsWith('http://') || self.startsWith('https://'))")
        .message("endpoint must be an http or https URL"))]
    pub endpoint: String,
    /// Region of its cluster.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Cloud provider of its cluster.
    #[schemars(length(min = 1, max = 63))]
    pub cloud_provider: String,
    /// Jurisdictions that data there does not leave, by the names that the platform has for them (`EU`, `DE`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub data_residency: Vec<String>,
    /// What it serves.
    #[schemars(length(min = 1, max = 20))]
    pub capabilities: Vec<Capability>,
    /// How the operator proves who it is.
    #[serde(default)]
    pub authentication: Authentication,
    /// How its health is watched.
    #[serde(default)]
    pub health_check: HealthCheck,
    /// Preference among fitting brokers; higher wins.
    #[serde(default = "default_priority")]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u32,
    /// Most instances that are being provisioned at once.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_concurrent_deployments: u32,
}

const fn default_priority() -> u32 {
    100
}

const fn default_max_concurrent() -> u32 {
    10
}

/// One kind of service a broker offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capability {
    /// The kind.
    pub resource_type: ResourceType,
    /// Engines; every one of the kind when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub providers: Vec<String>,
    /// Regions; the broker's own when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63)))]
    pub regions: Vec<String>,
}

/// How the operator proves who it is to a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// The method.
    #[serde(default, rename = "type")]
    pub type_: AuthenticationType,
    /// Secret with what the method needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// A method of authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthenticationType {
    /// A token of the operator's service account.
    Jwt,
    /// A client certificate.
    Mtls,
    /// A shared key in the `Authorization` header.
    ApiKey,
    /// None: the network is the boundary.
    #[default]
    None,
}

/// A Secret and a key of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the Secret, in the namespace of the `Broker`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// How a broker's health is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// Path, or URL, that is asked.
    #[serde(default = "default_health_endpoint")]
    #[schemars(length(min = 1, max = 500))]
    pub endpoint: String,
    /// Seconds between two checks.
    #[serde(default = "default_interval")]
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: u32,
    /// Seconds after which a check has failed.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
    /// Failures in a row after which the broker is unhealthy; after twice as many it is offline.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: default_health_endpoint(),
            interval_seconds: default_interval(),
            timeout_seconds: default_timeout(),
            failure_threshold: default_threshold(),
        }
    }
}

fn default_health_endpoint() -> String {
    "/health".to_owned()
}

const fn default_interval() -> u32 {
    30
}

const fn default_timeout() -> u32 {
    5
}

const fn default_threshold() -> u32 {
    3
}

/// What the operator thinks of a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BrokerPhase {
    /// Not yet asked.
    #[default]
    Pending,
    /// Answers.
    Ready,
    /// Missed its threshold of checks.
    Unhealthy,
    /// Missed twice its threshold.
    Offline,
    /// Answered something that is not a broker's answer.
    Unknown,
}

impl BrokerPhase {
    /// The phase as it is written, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Ready => "Ready",
            Self::Unhealthy => "Unhealthy",
            Self::Offline => "Offline",
            Self::Unknown => "Unknown",
        }
    }
}

/// A key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousKey {
    /// The key, as `whpk_` and base64.
    pub key: String,
    /// Until when it is believed.
    pub expires_at: Time,
}

/// Observed state of a broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatus {
    /// What the operator thinks of it.
    pub phase: BrokerPhase,
    /// The answered check that this status rests on. Not renewed while nothing else changes, so that a
    /// healthy fleet causes no writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Time>,
    /// Instances it serves for this operator.
    pub active_deployments: u32,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Ed25519 key that its callbacks are verified with, as `whpk_` and base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_public_key: Option<String>,
    /// Keys that it signed with before, and that are believed until they expire.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previous_callback_keys: Vec<PreviousKey>,
    /// Instances of this operator at the broker whose resources are gone; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_instances: Option<u32>,
    /// Ready, Reconciling and Stalled, as kstatus reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

//! What the kinds of service share: where a resource is placed, what is said of it, and what a controller asks of it.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::core::object::HasStatus;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::instance::{DeletionPolicy, Engine, InstanceSpec, OwnerRef, ResourceType};

/// A kind that a broker serves. A controller that is written against it serves every kind.
pub trait ServiceResource:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status = ResourceStatus>
    + Clone
    + std::fmt::Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind, as brokers know it.
    const TYPE: ResourceType;

    /// The finalizer that holds an object until the broker has confirmed that its instance is gone.
    const FINALIZER: &'static str;

    /// Who it belongs to.
    fn owner(&self) -> &OwnerRef;

    /// The engine.
    fn engine(&self) -> Engine;

    /// What narrows the choice of a broker.
    fn target(&self) -> Option<&Target>;

    /// What happens to the data at deletion.
    fn deletion_policy(&self) -> DeletionPolicy;

    /// The part that a provisioner is asked for.
    fn instance(&self) -> InstanceSpec;
}

/// Where a resource is placed. Every field narrows the choice of broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// This broker and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub broker: Option<String>,
    /// Brokers of this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// Brokers of this cloud provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cloud_provider: Option<String>,
}

/// Where a resource is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Not yet given to a broker.
    #[default]
    Pending,
    /// A broker is at work on it.
    Provisioning,
    /// Usable.
    Ready,
    /// Cannot be served as it is written, or the broker gave up.
    Failed,
    /// Being removed.
    Deleting,
    /// Usable, but not as it was asked for.
    DriftDetected,
    /// Held by the platform team.
    Suspended,
}

/// A reference to an object by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Its name.
    pub name: String,
    /// Its namespace, where it is not the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What a resource is expected to cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostStatus {
    /// Amount a month, in `currency`.
    pub estimated_monthly: f64,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was computed.
    pub last_updated: Time,
}

/// Observed state of a database, a cache or a message queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceStatus {
    /// Where it is in its life.
    pub phase: Phase,
    /// The broker's id of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// The broker that serves it; chosen once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_ref: Option<LocalRef>,
    /// Host name that clients connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Port that clients connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Secret with the credentials, in the form of servicebinding.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_secret_ref: Option<LocalRef>,
    /// Expected cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// When the last backup ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<Time>,
    /// Ready, Reconciling and Stalled, as kstatus reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

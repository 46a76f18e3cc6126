//! What the kinds of service share: where a resource is placed, what is said of it, and what a controller asks of it.

use std::collections::BTreeMap;

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
    /// Brokers whose data stays in this jurisdiction, by one of their `dataResidency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub data_residency: Option<String>,
    /// What it is to be kept apart from, as far as its place is not chosen yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub anti_affinity: Vec<AntiAffinity>,
    /// How much of the score a low price is worth: the cheapest broker gets all of it, another in proportion, and one
    /// whose price is not known nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cost_weight: Option<u32>,
}

/// Keeps a resource apart from others of its namespace, of whatever kind, that have their place already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AntiAffinity {
    /// What the two do not share.
    #[serde(default)]
    pub topology_key: TopologyKey,
    /// Which resources: those with these labels; every one where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
    /// A wish where present: how much of the score it is worth when every one of the others is there. A condition where
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
}

/// What two resources can share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TopologyKey {
    /// A broker, which is a cluster.
    #[default]
    Broker,
    /// A region.
    Region,
    /// A cloud provider.
    CloudProvider,
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

impl Phase {
    /// The phase as it is written, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Provisioning => "Provisioning",
            Self::Ready => "Ready",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
            Self::DriftDetected => "DriftDetected",
            Self::Suspended => "Suspended",
        }
    }
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

/// How many fields a spec changes in the cluster that is not in effect yet, by what changing each does. A field that counts
/// under one counts under no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PendingChanges {
    /// Generation of the resource's spec that brings them.
    pub generation: i64,
    /// Nothing that a client notices.
    pub none: u32,
    /// The engine takes it on while it runs.
    pub reload: u32,
    /// Pods are replaced, one after another where there are several.
    pub rolling_restart: u32,
    /// An object is deleted and made again; its data stays.
    pub recreate: u32,
    /// Data is lost.
    pub data_loss: u32,
}

impl PendingChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let Self { generation, .. } = *self;
        *self
            == Self {
                generation,
                ..Self::default()
            }
    }
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
    /// The broker that serves it; chosen once, unless that broker went away before anything was sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_ref: Option<LocalRef>,
    /// When the broker was chosen; places at brokers go round by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Time>,
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
    /// What a changed spec does that is not in effect yet; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<PendingChanges>,
    /// When the last backup ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<Time>,
    /// Ready, Reconciling and Stalled, as kstatus reads them, and `Placed`: what spoke for and against each broker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

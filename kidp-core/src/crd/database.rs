//! `Database`: one database, asked for by an application team.

use crate::instance::{
    BackupSpec, DeletionPolicy, DriftSpec, EncryptionSpec, Engine, InstanceSpec, OwnerRef, Parameters,
    StorageSpec,
};
use crate::size::Size;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Desired state of a database.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "platform.company.com",
    version = "v1",
    kind = "Database",
    plural = "databases",
    shortname = "db",
    category = "kidp",
    namespaced,
    status = "DatabaseStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".spec.engine"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version"}"#,
    printcolumn = r#"{"name":"Size","type":"string","jsonPath":".spec.size"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".status.endpoint"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("has(self.target) == has(oldSelf.target)")
        .message("target is fixed at creation: it can be neither added nor removed").field_path(".target"),
    validation = Rule::new("has(self.storage.class) == has(oldSelf.storage.class)")
        .message("storage.class is fixed at creation").field_path(".storage"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseSpec {
    /// The team or application that owns the database.
    pub owner: OwnerRef,
    /// The engine. Fixed at creation.
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("engine is fixed at creation"),
        validation = Rule::new("self != 'rabbitmq'").message("rabbitmq is a message queue, not a database")
    )]
    pub engine: Engine,
    /// Engine version: a major version such as `15`, or a full one.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+){0,2}$')").message("version must be numbers joined by dots, such as 15 or 15.4"))]
    pub version: String,
    /// CPU and memory: small, medium, large or xlarge.
    #[serde(default)]
    pub size: Size,
    /// Several members with automatic failover, where the engine supports it.
    #[serde(default)]
    pub high_availability: bool,
    /// The volume. Its size may grow, never shrink; its class is fixed at creation.
    #[x_kube(
        validation = Rule::new("isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))")
            .message("storage.size must be a positive quantity, such as 10Gi").field_path(".size"),
        validation = Rule::new("!isQuantity(self.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
            .message("storage.size can grow, but never shrink").field_path(".size"),
        validation = Rule::new("!has(self.class) || !has(oldSelf.class) || self.class == oldSelf.class")
            .message("storage.class is fixed at creation").field_path(".class")
    )]
    pub storage: StorageSpec,
    /// Scheduled backups.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("!has(self.schedule) || self.schedule.matches('^([0-9*/,-]+) ([0-9*/,-]+) ([0-9*/,-]+) ([0-9*/,A-Z-]+) ([0-9*/,A-Z-]+)$')")
            .message("backup.schedule must be five cron fields, such as 0 3 * * *").field_path(".schedule"),
        validation = Rule::new("!has(self.retention) || self.retention.matches('^[1-9][0-9]{0,3}[dwmy]$')")
            .message("backup.retention must be a number and d, w, m or y, such as 30d").field_path(".retention"),
        validation = Rule::new("!self.pointInTimeRestore || self.enabled")
            .message("backup.pointInTimeRestore needs backup.enabled").field_path(".pointInTimeRestore"),
        validation = Rule::new("!self.enabled || has(self.schedule)")
            .message("backup.enabled needs backup.schedule").field_path(".schedule")
    )]
    pub backup: BackupSpec,
    /// Encryption of data on disk and on the wire.
    #[serde(default)]
    #[x_kube(validation = Rule::new("!has(self.minTLSVersion) || self.inTransit")
        .message("encryption.minTLSVersion needs encryption.inTransit").field_path(".minTLSVersion"))]
    pub encryption: EncryptionSpec,
    /// Where it is placed; any fitting broker when absent. Fixed at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("target is fixed at creation"))]
    pub target: Option<Target>,
    /// Engine parameters, as the engine's own configuration writes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub parameters: Parameters,
    /// What happens to the data at deletion.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What is done about drift.
    #[serde(default)]
    pub drift: DriftSpec,
}

impl DatabaseSpec {
    /// The part that a provisioner is asked for.
    pub fn instance(&self) -> InstanceSpec {
        InstanceSpec {
            engine: self.engine,
            version: self.version.clone(),
            size: self.size,
            high_availability: self.high_availability,
            storage: self.storage.clone(),
            backup: self.backup.clone(),
            encryption: self.encryption.clone(),
            parameters: self.parameters.clone(),
            deletion_policy: self.deletion_policy,
            drift: self.drift.clone(),
        }
    }
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

/// Observed state of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DatabaseStatus {
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

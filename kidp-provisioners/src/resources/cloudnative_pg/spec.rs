//! What a `Cluster` asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, SeccompProfile, TopologySpreadConstraint};
use kidp_core::labels::Labels;
use serde::{Deserialize, Serialize};

/// The spec of a `Cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Number of members.
    #[serde(default)]
    pub instances: i32,
    /// The image of members; its tag is a version of PostgreSQL.
    #[serde(default)]
    pub image_name: String,
    /// When the registry is asked for it.
    #[serde(default)]
    pub image_pull_policy: String,
    /// User of the image; fixed at creation.
    #[serde(rename = "postgresUID", default)]
    pub postgres_uid: i64,
    /// Group of the image; fixed at creation.
    #[serde(rename = "postgresGID", default)]
    pub postgres_gid: i64,
    /// How the first member comes by its data.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// The server's configuration.
    #[serde(default)]
    pub postgresql: PostgresConfiguration,
    /// The volume of each member.
    #[serde(default)]
    pub storage: Storage,
    /// CPU and memory of each member.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Members keep apart.
    #[serde(default)]
    pub affinity: Affinity,
    /// Members keep apart, in more dimensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Whether there is a login of the superuser.
    #[serde(default)]
    pub enable_superuser_access: bool,
    /// Seconds that clients of a member that stops are given to leave by themselves; nobody else is let in meanwhile.
    #[serde(default)]
    pub smart_shutdown_timeout: i32,
    /// Seconds after which a member that stops is killed.
    #[serde(default)]
    pub stop_delay: i32,
    /// Whether drains wait for members.
    #[serde(rename = "enablePDB", default)]
    pub enable_pdb: bool,
    /// Whether an update of the member that takes writes waits for a person.
    #[serde(default)]
    pub primary_update_strategy: String,
    /// Of every pod.
    #[serde(default)]
    pub seccomp_profile: SeccompProfile,
    /// Put on everything that is made for the `Cluster`.
    #[serde(default)]
    pub inherited_metadata: InheritedMetadata,
    /// Metrics.
    #[serde(default)]
    pub monitoring: Monitoring,
}

/// How the first member comes by its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// A new database.
    #[serde(default)]
    pub initdb: InitDb,
}

/// A new database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitDb {
    /// Its name.
    #[serde(default)]
    pub database: String,
    /// Its owner, which is the login.
    #[serde(default)]
    pub owner: String,
    /// The Secret with the owner's `username` and `password`.
    #[serde(default)]
    pub secret: SecretName,
    /// Whether pages carry checksums.
    #[serde(default)]
    pub data_checksums: bool,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecretName {
    /// Its name.
    pub name: String,
}

/// The server's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PostgresConfiguration {
    /// Settings by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Libraries that are loaded at the server's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_preload_libraries: Vec<String>,
    /// Members that have a transaction before a client is told that it is committed.
    #[serde(default)]
    pub synchronous: Synchronous,
}

/// Members that have a transaction before a client is told that it is committed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Synchronous {
    /// `any` of the others, or the `first` ones.
    #[serde(default)]
    pub method: String,
    /// How many of the others.
    #[serde(default)]
    pub number: i32,
    /// `required`, or `preferred` where writes go on without them.
    #[serde(default)]
    pub data_durability: String,
}

/// The volume of each member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size; it can grow.
    #[serde(default)]
    pub size: String,
    /// Its storage class; the cluster's default where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// Members keep apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// Whether they do.
    #[serde(default)]
    pub enable_pod_anti_affinity: bool,
    /// `preferred`, or `required`.
    #[serde(default)]
    pub pod_anti_affinity_type: String,
    /// What they do not share.
    #[serde(default)]
    pub topology_key: String,
}

/// Put on everything that is made for the `Cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InheritedMetadata {
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether the operator's own queries are left out. They are in a ConfigMap that it puts into the namespace, where
    /// it stays when the `Cluster` is gone.
    #[serde(default)]
    pub disable_default_queries: bool,
}

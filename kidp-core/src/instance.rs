//! What an instance is to be: the part of a request that a provisioner turns into objects, the same for every
//! engine and for every way in (CR, broker API, library call).

mod adoption;
mod drift;
mod encryption;
mod monitoring;

use crate::size::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

pub use adoption::{
    AdoptSpec, Adopted, AdoptedSecretKeys, AdoptedSecretRef, DIGEST_CHARS, NAME_RULE, PodTemplatePolicy,
    is_plain_name,
};
pub use drift::{Day, DriftPolicy, DriftRule, DriftSpec, MAX_RULES, MaintenanceWindow};
pub use encryption::{CertificateSource, EncryptionSpec, IssuerKind, IssuerRef, TlsVersion};
pub use monitoring::{MAX_NAMESPACES, MonitoringSpec};

/// The kinds of service that KIDP hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ResourceType {
    /// A database.
    #[serde(alias = "database")]
    Database,
    /// A cache.
    #[serde(alias = "cache")]
    Cache,
    /// A message queue.
    #[serde(alias = "messagequeue")]
    MessageQueue,
}

impl ResourceType {
    /// The kind as it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Database => "Database",
            Self::Cache => "Cache",
            Self::MessageQueue => "MessageQueue",
        }
    }

    /// The kind in a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Cache => "cache",
            Self::MessageQueue => "message queue",
        }
    }
}

impl std::fmt::Display for ResourceType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Engines a request may name. One without a provisioner is refused by name, not as an unknown word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MySQL.
    Mysql,
    /// MongoDB.
    Mongodb,
    /// Redis.
    Redis,
    /// RabbitMQ.
    Rabbitmq,
    /// Microsoft SQL Server; has no provisioner.
    Sqlserver,
    /// An engine of someone else's, for those who bring a provisioner to the library; made by [`Engine::other`].
    ///
    /// No request can name it: the list in the CRDs' schema stays closed, and it is not read from JSON, so that a
    /// misspelt engine is refused where it comes in. It is written as its name.
    #[serde(skip)]
    #[schemars(skip)]
    Other(EngineName),
}

/// The name of an engine that KIDP does not have, see [`Engine::other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineName(&'static str);

impl Engine {
    /// The name as it is written in a spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mongodb => "mongodb",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
            Self::Sqlserver => "sqlserver",
            Self::Other(EngineName(name)) => name,
        }
    }

    /// An engine of one's own, by a short name that is a DNS label, such as `valkey`.
    pub const fn other(name: &'static str) -> Self {
        Self::Other(EngineName(name))
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The volume of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageSpec {
    /// Size as a quantity, such as `10Gi`. May grow, never shrink.
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// Storage class; the cluster's default when absent. Fixed at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
}

/// Scheduled backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupSpec {
    /// Whether backups are taken.
    #[serde(default)]
    pub enabled: bool,
    /// When, as five cron fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100))]
    pub schedule: Option<String>,
    /// How long a backup is kept: a number and `d`, `w`, `m` or `y`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 5))]
    pub retention: Option<String>,
    /// Whether any moment between backups can be restored.
    #[serde(default)]
    pub point_in_time_restore: bool,
}

/// What happens to the data when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Data and credentials are removed.
    #[default]
    Delete,
    /// The volume claim and the connection Secret stay, and are adopted by a resource of the same name.
    Retain,
    /// A volume snapshot is taken first; needs a CSI driver that can.
    Snapshot,
}

/// Engine parameters: names and values as the engine's own configuration writes them.
pub type Parameters = BTreeMap<String, String>;

/// What a provisioner is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceSpec {
    /// The engine.
    pub engine: Engine,
    /// Major version, or a full one, as text.
    #[schemars(length(min = 1, max = 20))]
    pub version: String,
    /// CPU and memory.
    #[serde(default)]
    pub size: Size,
    /// Several members with automatic failover, where the engine has consensus.
    #[serde(default)]
    pub high_availability: bool,
    /// The volume.
    pub storage: StorageSpec,
    /// Backups.
    #[serde(default)]
    pub backup: BackupSpec,
    /// Encryption.
    #[serde(default)]
    pub encryption: EncryptionSpec,
    /// Metrics of the engine.
    #[serde(default, skip_serializing_if = "MonitoringSpec::is_default")]
    pub monitoring: MonitoringSpec,
    /// Engine parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    /// What happens to the data at deletion.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Drift settings.
    #[serde(default)]
    pub drift: DriftSpec,
    /// A StatefulSet that is there already and becomes the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptSpec>,
}

/// Members of a highly available instance, of every engine: the least that keeps a majority when one is lost.
pub const HA_MEMBERS: u32 = 3;

impl InstanceSpec {
    /// How many members there are, each with CPU, memory and a volume of its own.
    pub const fn members(&self) -> u32 {
        if self.high_availability { HA_MEMBERS } else { 1 }
    }
}

/// Who a resource belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerRef {
    /// `Team` or `Application`.
    pub kind: OwnerKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; the resource's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Kinds that can own a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OwnerKind {
    /// A team.
    Team,
    /// An application of a team.
    Application,
}

impl std::fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Team => "Team",
            Self::Application => "Application",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;

    #[test]
    fn an_engine_of_someone_elses_is_written_and_never_read() {
        let other = Engine::other("valkey");
        assert_eq!(serde_json::to_value(other).unwrap(), "valkey");
        assert_eq!(serde_json::to_value(Engine::Redis).unwrap(), "redis");
        assert!(serde_json::from_str::<Engine>("\"valkey\"").is_err());
        assert!(serde_json::from_str::<Engine>("\"Other\"").is_err());
        assert_eq!(
            serde_json::from_str::<Engine>("\"redis\"").unwrap(),
            Engine::Redis
        );
        let schema = serde_json::to_string(&schemars::schema_for!(Engine)).unwrap();
        assert!(
            schema.contains("sqlserver") && !schema.to_lowercase().contains("other"),
            "{schema}"
        );
    }
}

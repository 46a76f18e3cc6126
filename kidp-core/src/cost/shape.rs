//! What of an instance is priced, and where it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::instance::{Engine, InstanceSpec, ResourceType};
use crate::quantity::{self, QuantityError};
use crate::size::Size;

const MIB: u64 = 1024 * 1024;

/// What of an instance is priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// The engine.
    pub engine: Engine,
    /// CPU and memory of a member.
    pub size: Size,
    /// Whether it is highly available.
    #[serde(default)]
    pub high_availability: bool,
    /// Members, each with CPU, memory and a volume of its own.
    #[schemars(range(min = 1))]
    pub members: u32,
    /// The volume of a member, in MiB.
    pub storage_mebibytes: u64,
    /// Storage class; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Whether backups are taken.
    #[serde(default)]
    pub backup: bool,
}

impl Shape {
    /// The shape of an instance: of what it is promised (limits), not of what its pods request.
    pub fn of(resource_type: ResourceType, spec: &InstanceSpec) -> Result<Self, QuantityError> {
        Ok(Self {
            resource_type,
            engine: spec.engine,
            size: spec.size,
            high_availability: spec.high_availability,
            members: spec.members(),
            // Volumes are made in whole MiB at least.
            storage_mebibytes: quantity::parse_bytes(&spec.storage.size)?.div_ceil(MIB),
            storage_class: spec.storage.class.clone(),
            backup: spec.backup.enabled,
        })
    }

    /// CPU cores of all members.
    pub fn cpu_cores(&self) -> u64 {
        u64::from(self.members) * u64::from(self.size.cpu_cores())
    }

    /// Memory of all members, in MiB.
    pub fn memory_mebibytes(&self) -> u64 {
        u64::from(self.members) * (self.size.memory_bytes() / MIB)
    }

    /// Volumes of all members, in MiB.
    pub fn all_storage_mebibytes(&self) -> u64 {
        u64::from(self.members).saturating_mul(self.storage_mebibytes)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ha = if self.high_availability {
            " with high availability"
        } else {
            ""
        };
        write!(f, "a {} {} {}{ha}", self.size, self.engine, self.resource_type)?;
        match &self.storage_class {
            Some(class) => write!(f, ", storage class {class}"),
            None => Ok(()),
        }
    }
}

/// Where an instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// Cloud provider of its cluster.
    pub cloud_provider: String,
    /// Region of its cluster.
    pub region: String,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.cloud_provider, self.region)
    }
}

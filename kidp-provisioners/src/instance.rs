//! One instance to provision: the request, its identity and its credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{InstanceSpec, OwnerRef, ResourceType};

/// Everything about an instance that its manifests depend on, but its credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// Name of the resource.
    pub name: String,
    /// Namespace that everything is created in.
    pub namespace: String,
    /// Identity of the deployment.
    pub deployment_id: DeploymentId,
    /// UID of the resource that asked; empty where there is none.
    pub resource_uid: String,
    /// The team.
    pub team: String,
    /// The owner, for labels.
    pub owner: Option<OwnerRef>,
    /// What is to be there.
    pub spec: InstanceSpec,
    /// Put on every object but the Secret and the volume claim, which outlive their owner under
    /// `deletionPolicy: Retain`.
    pub owner_reference: Option<OwnerReference>,
}

/// User, password and database of an instance.
///
/// `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Login.
    pub username: String,
    /// Password: letters and digits only, since some official entrypoints splice it into their own language.
    pub password: String,
    /// Database that is made at first start.
    pub database: String,
}

impl Credentials {
    /// A login around a password that was made for it.
    pub fn new(username: &str, password: String, database: &str) -> Self {
        Self {
            username: username.to_owned(),
            password,
            database: database.to_owned(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

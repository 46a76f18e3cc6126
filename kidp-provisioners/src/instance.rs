//! One instance to provision: the request, its identity and its credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::deployment::DeploymentId;

use kidp_core::instance::{Adopted, InstanceSpec, OwnerRef, ResourceType};
use kidp_core::revision::Revision;

use crate::features::ClusterFeatures;
use crate::tls::TlsMaterial;

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
    /// The team; a label, left out where it is empty.
    pub team: String,
    /// The owner, for labels.
    pub owner: Option<OwnerRef>,
    /// What is to be there.
    pub spec: InstanceSpec,
    /// Put on every object but the Secret and the volume claim, which outlive their owner under
    /// `deletionPolicy: Retain`.
    pub owner_reference: Option<OwnerReference>,
    /// The rendering, see [`crate::revision`]: pinned when the instance is made, so that a newer library changes
    /// nothing in the cluster.
    pub revision: Revision,
    /// What the cluster offers beside Kubernetes itself.
    pub features: ClusterFeatures,
    /// The certificate that clients meet, where `spec.encryption.inTransit` asks for one. `provision` and `drift` read it
    /// themselves, whatever is here; it is for those who only render.
    pub tls: Option<TlsMaterial>,
    /// The StatefulSet that it was, where it was taken over, see [`crate::adoption`].
    pub adopted: Option<Adopted>,
}

impl Instance {
    /// An instance with an identity derived from its place: no team, no owner, the first render revision, in a cluster
    /// that offers nothing beside Kubernetes. Those who have more to say set it:
    ///
    /// ```
    /// # use kidp_core::instance::{InstanceSpec, ResourceType};
    /// # use kidp_provisioners::Instance;
    /// # let spec: InstanceSpec = serde_json::from_value(serde_json::json!({
    /// #     "engine": "redis", "version": "8", "storage": {"size": "1Gi"}})).unwrap();
    /// let instance = Instance {
    ///     team: "payments".to_owned(),
    ///     ..Instance::new(ResourceType::Cache, "shop", "sessions", spec)
    /// };
    /// ```
    pub fn new(resource_type: ResourceType, namespace: &str, name: &str, spec: InstanceSpec) -> Self {
        Self {
            resource_type,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            deployment_id: DeploymentId::derive("", namespace, resource_type.as_str(), name, ""),
            resource_uid: String::new(),
            team: String::new(),
            owner: None,
            spec,
            owner_reference: None,
            revision: Revision::FIRST,
            features: ClusterFeatures::default(),
            tls: None,
            adopted: None,
        }
    }
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

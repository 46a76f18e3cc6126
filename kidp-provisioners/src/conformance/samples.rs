//! The instances that a provisioner is tried on.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{
    BackupSpec, DeletionPolicy, DriftSpec, EncryptionSpec, InstanceSpec, MonitoringSpec, StorageSpec,
};
use kidp_core::size::Size;

use super::variations;
use crate::instance::Instance;
use crate::provisioner::Provisioner;

/// Volumes that a simple instance is tried with, until one is large enough for the engine.
const VOLUMES: [&str; 4] = ["1Gi", "10Gi", "100Gi", "1Ti"];

/// Instances that the checks are run on.
///
/// ```
/// use kidp_provisioners::conformance::Samples;
/// use kidp_provisioners::engines::redis::Redis;
///
/// let samples = Samples::standard(&Redis::cache());
/// assert!(samples.instances().len() > 20);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Samples {
    instances: Vec<Instance>,
}

impl Samples {
    /// Variations of the simplest instance: the engine's first version, a small pod and a volume.
    pub fn standard(provisioner: &dyn Provisioner) -> Self {
        Self::around(provisioner, &simple(provisioner))
    }

    /// Variations of an instance of your own: versions, sizes, names, namespaces, labels, every parameter and option
    /// that the engine takes. A variation that `validate` refuses is left out.
    pub fn around(provisioner: &dyn Provisioner, instance: &Instance) -> Self {
        let mut instances: Vec<Instance> = Vec::new();
        for instance in variations::of(provisioner, instance) {
            // Some of what varies is what it was.
            if !instances.contains(&instance) && provisioner.validate(&instance).is_ok() {
                instances.push(instance);
            }
        }
        Self { instances }
    }

    /// Adds an instance of your own, as it is. One that `validate` refuses is reported.
    ///
    /// Instances with the same namespace, name and deployment id are taken for one instance over time: what must not
    /// change is compared between them.
    #[must_use]
    pub fn with(mut self, instance: Instance) -> Self {
        self.instances.push(instance);
        self
    }

    /// The instances.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The same instances in another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        for instance in &mut self.instances {
            namespace.clone_into(&mut instance.namespace);
        }
        self
    }
}

/// The simplest instance that an engine accepts, or would have to.
pub(super) fn simple(provisioner: &dyn Provisioner) -> Instance {
    let version = provisioner.capabilities().versions.into_iter().next();
    let kind = provisioner.resource_type();
    let uid = "6d2f4d3c-0000-4000-8000-000000000001";
    let spec = InstanceSpec {
        engine: provisioner.engine(),
        version: version.unwrap_or_default(),
        size: Size::Small,
        high_availability: false,
        storage: StorageSpec {
            size: String::new(),
            class: None,
        },
        backup: BackupSpec::default(),
        encryption: EncryptionSpec::default(),
        monitoring: MonitoringSpec::default(),
        parameters: BTreeMap::new(),
        deletion_policy: DeletionPolicy::default(),
        drift: DriftSpec::default(),
        adopt: None,
    };
    let mut instance = Instance {
        deployment_id: DeploymentId::derive("conformance", "shop", kind.as_str(), "orders", uid),
        resource_uid: uid.to_owned(),
        team: "payments".to_owned(),
        owner_reference: Some(owner(uid)),
        revision: provisioner.latest_revision(),
        ..Instance::new(kind, "shop", "orders", spec)
    };
    for volume in VOLUMES {
        volume.clone_into(&mut instance.spec.storage.size);
        if provisioner.validate(&instance).is_ok() {
            break;
        }
    }
    instance
}

/// The resource that asked for an instance.
fn owner(uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/v1alpha1", kidp_core::group::BROKER_GROUP),
        kind: "ServiceInstance".to_owned(),
        name: "orders".to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

//! Step 1: what the record refers to. Which provisioner serves it, and what that is given.

use std::sync::Arc;

use kidp_core::crd::ServiceInstance;
use kidp_provisioners::{ClusterFeatures, Instance, Provisioner, Registry};

use super::status::Verdict;
use crate::{admit, record};

/// An instance and who serves it.
pub struct Subject {
    /// The instance.
    pub instance: Instance,
    /// Who serves it.
    pub provisioner: Arc<dyn Provisioner>,
}

/// The subject of a record; a refusal if the broker has no provisioner for it, as after a downgrade.
pub fn dereference(
    record: &ServiceInstance,
    registry: &Registry,
    features: ClusterFeatures,
) -> Result<Subject, Verdict> {
    let (kind, engine) = (record.spec.resource_type, record.spec.instance.engine);
    match registry.get(kind, engine) {
        Some(provisioner) => Ok(Subject {
            instance: record::instance_of(record, features),
            provisioner: provisioner.clone(),
        }),
        None => Err(Verdict::Failed {
            reason: "NoProvisioner",
            message: admit::no_provisioner(registry, kind, engine).to_string(),
        }),
    }
}

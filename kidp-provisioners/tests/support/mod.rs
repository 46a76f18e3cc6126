//! What the tests of this crate share. Each test binary uses a part of it.
#![allow(dead_code)]

pub mod api_server;
pub mod restricted;

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{Engine, InstanceSpec, ResourceType};
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{Credentials, Instance, Manifests, Prepared, Provisioner};
use serde_json::{Value, json};

/// A password that is recognised wherever it turns up.
pub const PASSWORD: &str = "Zq7CanaryCanaryCanaryCanary7qZ00";

/// An instance with a spec of `engine`, `version`, `size` and `storage`, and what `extra` says besides.
pub fn instance(name: &str, version: &str, size: Size, extra: &Value) -> Instance {
    let mut spec = json!({
        "engine": Engine::Postgresql, "version": version, "size": size, "storage": {"size": "10Gi"}
    });
    let more = extra.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    Instance {
        resource_type: ResourceType::Database,
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        deployment_id: DeploymentId::derive("here", "shop", "Database", name, "uid"),
        resource_uid: "9f0c7d1e-0000-4000-8000-000000000001".to_owned(),
        team: "payments".to_owned(),
        owner: None,
        spec: serde_json::from_value::<InstanceSpec>(spec).unwrap(),
        owner_reference: None,
    }
}

pub fn credentials(provisioner: &dyn Provisioner, instance: &Instance) -> Credentials {
    provisioner.credentials(instance, PASSWORD.to_owned())
}

pub fn build(instance: &Instance) -> Manifests<Prepared> {
    let provisioner = Postgresql::default();
    provisioner
        .build(instance, &credentials(&provisioner, instance))
        .unwrap()
}

/// The objects of a kind, as JSON.
pub fn of_kind(manifests: &Manifests<Prepared>, kind: &str) -> Vec<Value> {
    let objects = manifests.objects().iter().filter(|o| o.kind() == kind);
    objects.map(|o| o.json().clone()).collect()
}

//! What the tests of this crate share. Each test binary uses a part of it.
#![allow(dead_code)]

pub mod api_server;
pub mod legacy;
pub mod running;
pub mod specs;

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::InstanceSpec;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{Credentials, Instance, Manifests, Prepared, Provisioner, Registry};
use serde_json::{Value, json};

/// A password that is recognised wherever it turns up.
pub const PASSWORD: &str = "Zq7CanaryCanaryCanaryCanary7qZ00";

/// A PostgreSQL instance with a spec of `version`, `size` and `storage`, and what `extra` says besides.
pub fn instance(name: &str, version: &str, size: Size, extra: &Value) -> Instance {
    instance_of(&Postgresql::default(), name, version, size, extra)
}

/// An instance of any engine.
pub fn instance_of(
    provisioner: &dyn Provisioner,
    name: &str,
    version: &str,
    size: Size,
    extra: &Value,
) -> Instance {
    let mut spec = json!({
        "engine": provisioner.engine(), "version": version, "size": size, "storage": {"size": "10Gi"}
    });
    let more = extra.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().unwrap().extend(more);
    let kind = provisioner.resource_type();
    let spec = serde_json::from_value::<InstanceSpec>(spec).unwrap();
    Instance {
        deployment_id: DeploymentId::derive("here", "shop", kind.as_str(), name, "uid"),
        resource_uid: "9f0c7d1e-0000-4000-8000-000000000001".to_owned(),
        team: "payments".to_owned(),
        ..Instance::new(kind, "shop", name, spec)
    }
}

pub fn credentials(provisioner: &dyn Provisioner, instance: &Instance) -> Credentials {
    provisioner.credentials(instance, PASSWORD.to_owned())
}

/// Renders with the standard settings of the instance's engine.
pub fn build(instance: &Instance) -> Manifests<Prepared> {
    let registry = Registry::standard();
    let provisioner = registry
        .get(instance.resource_type, instance.spec.engine)
        .unwrap();
    provisioner
        .build(instance, &credentials(provisioner.as_ref(), instance))
        .unwrap()
}

/// The entries of the connection Secret, which redacted snapshots do not show.
pub fn connection_secret(manifests: &Manifests<Prepared>) -> Value {
    let secret: k8s_openapi::api::core::v1::Secret =
        serde_json::from_value(of_kind(manifests, "Secret").remove(0)).unwrap();
    let entries: std::collections::BTreeMap<_, _> = secret
        .data
        .unwrap()
        .into_iter()
        .map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
        .collect();
    json!({"type": secret.type_, "entries": entries})
}

/// The objects of a kind, as JSON.
pub fn of_kind(manifests: &Manifests<Prepared>, kind: &str) -> Vec<Value> {
    let objects = manifests.objects().iter().filter(|o| o.kind() == kind);
    objects.map(|o| o.json().clone()).collect()
}

/// A refusal is one fault: of this field, with this in its message.
pub fn assert_refused(faults: &[(String, String)], field: &str, says: &str) {
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].0, field);
    assert!(faults[0].1.contains(says), "{}", faults[0].1);
}

/// The message of the one fault that a parameter may have, which names it.
pub fn parameter_fault(faults: Vec<(String, String)>, name: &str) -> Option<String> {
    assert!(faults.len() <= 1, "{faults:?}");
    faults.into_iter().next().map(|(field, message)| {
        assert_eq!(field, format!("spec.parameters.{name}"));
        message
    })
}

//! No accepted change of a spec changes what an API server refuses to change, or what would cut an instance off from
//! its pods and its data.

use std::collections::{BTreeMap, BTreeSet};

use kidp_core::instance::InstanceSpec;
use serde_json::{Map, Value, json};

use super::objects::{Notes, PASSWORD, render};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Object, Prepared};
use crate::provisioner::Provisioner;

/// What may change in a StatefulSet's spec.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#limitations>, as the API server says it:
/// "updates to statefulset spec for fields other than ... are forbidden".
const STATEFUL_SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Checks samples that are one instance over time: the same namespace, name and deployment id, and the same storage
/// class, which is fixed at creation.
pub fn immutability(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Immutability);
    let mut lives: BTreeMap<_, BTreeMap<String, (String, Value)>> = BTreeMap::new();
    for instance in samples.instances() {
        let Ok(manifests) = render(provisioner, instance, PASSWORD) else {
            continue;
        };
        let known = lives.entry(identity(provisioner, instance)).or_default();
        let mut fixed: Vec<_> = manifests
            .objects()
            .iter()
            .map(|object| (object.key(), fixed(object)))
            .collect();
        // TLS may have a port of its own.
        let place = format!(
            "connection with inTransit: {}",
            instance.spec.encryption.in_transit
        );
        fixed.push((place, connection(provisioner, instance)));
        let shape = format!(
            "objects with highAvailability: {}",
            instance.spec.high_availability
        );
        fixed.push((shape, names(&manifests)));
        for (key, now) in fixed {
            let (was_by, was) = known
                .entry(key.clone())
                .or_insert_with(|| (instance.spec.version.clone(), now.clone()));
            for field in differing(was, &now) {
                notes.add(
                    instance,
                    &key,
                    format!("{field} changes with the spec (against one of version {was_by}), and is fixed"),
                );
            }
        }
    }
    notes.findings()
}

/// What makes two samples the same instance.
fn identity(provisioner: &dyn Provisioner, instance: &Instance) -> [String; 5] {
    let other = InstanceSpec {
        high_availability: !instance.spec.high_availability,
        ..instance.spec.clone()
    };
    let is_fixed = !provisioner.change_faults(&instance.spec, &other).is_empty();
    let shape = is_fixed && instance.spec.high_availability;
    [
        shape.to_string(),
        instance.namespace.clone(),
        instance.name.clone(),
        instance.deployment_id.to_string(),
        instance.spec.storage.class.clone().unwrap_or_default(),
    ]
}

/// Where clients connect: applications have it in their configuration.
fn connection(provisioner: &dyn Provisioner, instance: &Instance) -> Value {
    let connection = provisioner.connection(instance);
    json!({"host": connection.host, "port": connection.port, "secret": connection.secret})
}

/// What has a state or an address: under another name it is another one, and the old one is left behind.
fn names(manifests: &Manifests<Prepared>) -> Value {
    let kinds = [
        "StatefulSet",
        "Cluster",
        "Deployment",
        "DaemonSet",
        "Service",
        "Secret",
        "PersistentVolumeClaim",
    ];
    let objects = manifests.objects().iter().filter(|o| kinds.contains(&o.kind()));
    let keys: BTreeSet<_> = objects.map(Object::key).collect();
    json!({"the set of workloads, Services and Secrets": keys})
}

/// What may not change of an object, by field.
fn fixed(object: &Object) -> Value {
    let json = object.json();
    let spec = &json["spec"];
    match object.kind() {
        "StatefulSet" => stateful_set(spec),
        "Deployment" | "DaemonSet" | "ReplicaSet" => {
            json!({"spec.selector": spec["selector"], "spec.template labels": labels(spec)})
        }
        "Job" => json!({
            "spec.selector": spec["selector"], "spec.template": spec["template"],
            "spec.completionMode": spec["completionMode"]
        }),
        // The address can be neither given nor taken; a selector can, and would lead away from the pods there are.
        "Service" => json!({
            "spec.clusterIP": spec["clusterIP"], "spec.selector": spec["selector"],
            "spec.loadBalancerClass": spec["loadBalancerClass"]
        }),
        "Secret" => json!({"type": json["type"], "immutable": json["immutable"]}),
        "ConfigMap" => json!({"immutable": json["immutable"]}),
        "PersistentVolumeClaim" => claim(json),
        "Cluster" => json!({
            "spec.bootstrap": spec["bootstrap"], "spec.storage.storageClass": spec["storage"]["storageClass"],
            "spec.postgresUID": spec["postgresUID"], "spec.postgresGID": spec["postgresGID"],
            "spec.instances": spec["instances"],
            "spec.inheritedMetadata.labels": spec["inheritedMetadata"]["labels"],
        }),
        "RoleBinding" | "ClusterRoleBinding" => json!({"roleRef": json["roleRef"]}),
        "NetworkPolicy" => json!({"spec.podSelector": spec["podSelector"]}),
        "PodDisruptionBudget" => json!({"spec.selector": spec["selector"]}),
        _ => json!({}),
    }
}

fn stateful_set(spec: &Value) -> Value {
    let mut fixed = Map::new();
    for (field, value) in spec.as_object().into_iter().flatten() {
        if !STATEFUL_SET_MUTABLE.contains(&field.as_str()) && field != "volumeClaimTemplates" {
            fixed.insert(format!("spec.{field}"), value.clone());
        }
    }
    let claims = spec["volumeClaimTemplates"].as_array();
    let claims: Vec<_> = claims.into_iter().flatten().map(claim).collect();
    fixed.insert("spec.volumeClaimTemplates".to_owned(), Value::from(claims));
    // They may change, but a pod is not selected by labels that it was not made with.
    fixed.insert("spec.template labels".to_owned(), labels(spec));
    Value::Object(fixed)
}

/// A claim without the size that it asks for: `provision` grows that.
fn claim(claim: &Value) -> Value {
    let mut spec = claim["spec"].clone();
    if let Some(requests) = spec
        .pointer_mut("/resources/requests")
        .and_then(Value::as_object_mut)
    {
        requests.remove("storage");
    }
    json!({"name": claim["metadata"]["name"], "labels": claim["metadata"]["labels"], "spec": spec})
}

fn labels(spec: &Value) -> Value {
    spec["template"]["metadata"]["labels"].clone()
}

/// The fields in which two differ.
fn differing(was: &Value, now: &Value) -> Vec<String> {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (was, now) = (fields(was), fields(now));
    let names = was
        .keys()
        .chain(now.keys().filter(|name| !was.contains_key(*name)));
    names
        .filter(|name| was.get(*name) != now.get(*name))
        .cloned()
        .collect()
}

//! Removal finds everything, and nothing takes the data with it.

use kidp_core::labels;
use serde_json::{Value, json};

use super::objects::{Notes, clusters, inherited_labels, items, judge, templates};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::apply::removed_kinds;
use crate::instance::Instance;
use crate::manifests::{Manifests, Object, Prepared};
use crate::provisioner::Provisioner;

/// Kinds that outlive their owner under `deletionPolicy: Retain`.
const KEPT: [&str; 2] = ["Secret", "PersistentVolumeClaim"];

/// Checks owners, labels, finalizers and retention policies.
pub fn deletion(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    judge(
        provisioner,
        samples,
        Check::Deletion,
        |instance, manifests, notes| {
            for object in manifests.objects() {
                owner(instance, object, notes);
                is_removed(instance, object, notes);
                found_by(
                    instance,
                    &object.key(),
                    &object.json()["metadata"]["labels"],
                    notes,
                );
            }
            for pod in templates(manifests) {
                found_by(
                    instance,
                    &format!("{}'s pods", pod.object.key()),
                    &pod.metadata["labels"],
                    notes,
                );
            }
            for cluster in clusters(manifests) {
                inherited(instance, cluster, notes);
            }
            claims(instance, manifests, notes);
        },
    )
}

/// Garbage collection follows the owner, for what is not data.
fn owner(instance: &Instance, object: &Object, notes: &mut Notes) {
    let expected = match &instance.owner_reference {
        Some(owner) if !KEPT.contains(&object.kind()) => json!([owner]),
        _ => Value::Null,
    };
    let found = &object.json()["metadata"]["ownerReferences"];
    notes.require(*found == expected, instance, &object.key(), || {
        if expected.is_null() {
            "has an owner, with which it would be deleted; it may have to outlive it".to_owned()
        } else {
            "lacks the instance's owner reference".to_owned()
        }
    });
}

/// `deprovision` looks for some kinds only, all of them in a namespace.
fn is_removed(instance: &Instance, object: &Object, notes: &mut Notes) {
    let resource = object.resource();
    let known = removed_kinds();
    let is_known = known
        .iter()
        .any(|known| known.group == resource.group && known.kind == resource.kind);
    notes.require(is_known, instance, &object.key(), || {
        "is of a kind that `deprovision` does not look for, or that is in no namespace".to_owned()
    });
    let finalizers = &object.json()["metadata"]["finalizers"];
    notes.require(finalizers.is_null(), instance, &object.key(), || {
        "has a finalizer, which nobody takes off".to_owned()
    });
}

/// What carries no label is left behind.
fn found_by(instance: &Instance, key: &str, found: &Value, notes: &mut Notes) {
    let uid = labels::value(&instance.resource_uid);
    let expected = [
        (labels::DEPLOYMENT_ID, instance.deployment_id.as_str()),
        (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
        (labels::RESOURCE_UID, &uid),
    ];
    for (label, value) in expected.into_iter().filter(|(_, value)| !value.is_empty()) {
        notes.require(found[label] == value, instance, key, || {
            format!("its label {label} is missing or wrong; it is found by it")
        });
    }
}

/// What is made for a `Cluster` is found by the labels that it inherits, but for that of who manages it: that is the
/// `Cluster`'s operator, which writes the label anew each time that it is another.
fn inherited(instance: &Instance, cluster: &Object, notes: &mut Notes) {
    let found = inherited_labels(cluster);
    let key = format!("what is made for {}", cluster.key());
    let uid = labels::value(&instance.resource_uid);
    let expected = [
        (labels::DEPLOYMENT_ID, instance.deployment_id.as_str()),
        (labels::RESOURCE_UID, &uid),
    ];
    for (label, value) in expected.into_iter().filter(|(_, value)| !value.is_empty()) {
        notes.require(found[label] == value, instance, &key, || {
            format!("its label {label} is missing or wrong; it is found by it")
        });
    }
    let manager = &found[labels::MANAGED_BY_KEY];
    notes.require(manager.is_null(), instance, &key, || {
        format!("its label {} is its operator's to set", labels::MANAGED_BY_KEY)
    });
}

fn claims(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    for object in manifests.objects().iter().filter(|o| o.kind() == "StatefulSet") {
        let spec = &object.json()["spec"];
        let policy = &spec["persistentVolumeClaimRetentionPolicy"];
        for when in ["whenDeleted", "whenScaled"] {
            // Retain is what an API server puts there.
            let retains = policy[when].is_null() || policy[when] == "Retain";
            notes.require(retains, instance, &object.key(), || {
                format!("persistentVolumeClaimRetentionPolicy.{when} is not Retain")
            });
        }
        for claim in items(&spec["volumeClaimTemplates"]) {
            let key = format!("{}'s claims", object.key());
            found_by(instance, &key, &claim["metadata"]["labels"], notes);
            let owners = &claim["metadata"]["ownerReferences"];
            notes.require(owners.is_null(), instance, &key, || {
                "have an owner, with which they would be deleted".to_owned()
            });
        }
    }
}

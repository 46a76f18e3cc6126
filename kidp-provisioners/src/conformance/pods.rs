//! Every pod passes the `restricted` Pod Security Standard, and has nothing that it does not need.

mod cluster;
mod metrics;
mod promises;
mod standard;

use serde_json::Value;

use super::objects::{Notes, clusters, inherited_labels, judge, templates};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::provisioner::Provisioner;

pub use cluster::cluster_violations;
pub use metrics::metrics_violations;
pub use promises::promise_violations;
pub use standard::pod_violations;

/// Checks every pod, whatever kind of object makes it, and that a NetworkPolicy stands before each. Of pods that
/// CloudNativePG makes, what is asked of it is checked.
pub fn pods(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    judge(provisioner, samples, Check::Pods, |instance, manifests, notes| {
        for pod in templates(manifests) {
            let violations = pod_violations(pod.metadata, pod.spec);
            for violation in violations.into_iter().chain(promise_violations(pod.spec)) {
                notes.add(instance, &pod.object.key(), violation);
            }
            for violation in metrics_violations(pod.spec) {
                notes.add(instance, &pod.object.key(), violation);
            }
            let guarded = guarded(instance, manifests, &pod.metadata["labels"], notes);
            notes.require(guarded, instance, &pod.object.key(), || {
                "no NetworkPolicy for incoming traffic selects its pods".to_owned()
            });
        }
        for cluster in clusters(manifests) {
            for violation in cluster_violations(&cluster.json()["spec"]) {
                notes.add(instance, &cluster.key(), violation);
            }
            let guarded = guarded(instance, manifests, inherited_labels(cluster), notes);
            notes.require(guarded, instance, &cluster.key(), || {
                "no NetworkPolicy for incoming traffic selects its members".to_owned()
            });
        }
        let is_accepted = provisioner.validate(instance).is_ok();
        metrics::served(instance, manifests, is_accepted, notes);
    })
}

/// Whether a policy selects the pods of these labels; one that admits everybody is noted.
fn guarded(instance: &Instance, manifests: &Manifests<Prepared>, labels: &Value, notes: &mut Notes) -> bool {
    let policies = manifests.objects().iter().filter(|o| o.kind() == "NetworkPolicy");
    let mut guarded = false;
    for policy in policies {
        let spec = &policy.json()["spec"];
        let selected = spec["podSelector"]["matchLabels"].as_object();
        let selects = selected
            .into_iter()
            .flatten()
            .all(|(key, value)| labels[key] == *value);
        let ingress = spec["policyTypes"]
            .as_array()
            .is_none_or(|types| types.iter().any(|t| t == "Ingress"));
        if !selects || !ingress {
            continue;
        }
        guarded = true;
        for rule in spec["ingress"].as_array().into_iter().flatten() {
            // A rule without peers, and an empty selector of pods, admit everybody.
            let peers = rule["from"].as_array().filter(|peers| !peers.is_empty());
            let is_narrow = |peer: &Value| {
                peer["podSelector"]["matchLabels"].is_object()
                    || peer["podSelector"]["matchExpressions"].is_array()
                    || metrics::is_scraper(instance, peer)
            };
            let narrow = peers.is_some_and(|peers| peers.iter().all(is_narrow));
            notes.require(narrow, instance, &policy.key(), || {
                "admits pods that are not labelled for it".to_owned()
            });
        }
    }
    guarded
}

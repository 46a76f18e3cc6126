//! Samples rendered, and what checks look for in them.

use kube::api::ApiResource;
use serde_json::Value;

use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{BuildError, Manifests, Object, Prepared};
use crate::provisioner::Provisioner;
use crate::resources::cloudnative_pg;

/// A password that is recognised wherever it turns up.
pub(super) const PASSWORD: &str = "Zq7CanaryCanaryCanaryCanary7qZ00";

/// Findings of a check as they are made.
pub(super) struct Notes {
    check: Check,
    findings: Vec<Finding>,
}

impl Notes {
    pub(super) fn new(check: Check) -> Self {
        Self {
            check,
            findings: Vec::new(),
        }
    }

    /// A finding about an object (`Kind/name`, or nothing) of a sample.
    pub(super) fn add(&mut self, instance: &Instance, object: &str, message: impl Into<String>) {
        self.findings
            .push(Finding::new(self.check, instance, object, message));
    }

    /// A finding where a condition does not hold.
    pub(super) fn require(
        &mut self,
        holds: bool,
        instance: &Instance,
        object: &str,
        message: impl FnOnce() -> String,
    ) {
        if !holds {
            self.add(instance, object, message());
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// Renders a sample with a password.
pub(super) fn render(
    provisioner: &dyn Provisioner,
    instance: &Instance,
    password: &str,
) -> Result<Manifests<Prepared>, BuildError> {
    provisioner.build(instance, &provisioner.credentials(instance, password.to_owned()))
}

/// Judges the objects of each sample. One that cannot be rendered is a finding of validation alone.
pub(super) fn judge(
    provisioner: &dyn Provisioner,
    samples: &Samples,
    check: Check,
    mut judge: impl FnMut(&Instance, &Manifests<Prepared>, &mut Notes),
) -> Vec<Finding> {
    let mut notes = Notes::new(check);
    for instance in samples.instances() {
        if let Ok(manifests) = render(provisioner, instance, PASSWORD) {
            judge(instance, &manifests, &mut notes);
        }
    }
    notes.findings()
}

/// A pod that an object is or makes.
pub(super) struct Template<'a> {
    pub(super) object: &'a Object,
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

/// Every pod of an instance, whatever the kind of object that makes it.
pub(super) fn templates<State>(manifests: &Manifests<State>) -> Vec<Template<'_>> {
    manifests.objects().iter().filter_map(template).collect()
}

fn template(object: &Object) -> Option<Template<'_>> {
    let json = object.json();
    let pod = match object.kind() {
        "Pod" => json,
        "CronJob" => json.pointer("/spec/jobTemplate/spec/template")?,
        // StatefulSet, Deployment, DaemonSet, ReplicaSet, Job and what imitates them.
        _ => json
            .pointer("/spec/template")
            .filter(|template| template["spec"]["containers"].is_array())?,
    };
    Some(Template {
        object,
        metadata: &pod["metadata"],
        spec: &pod["spec"],
    })
}

/// The `Cluster`s of CloudNativePG among an instance's objects: pods that another operator makes, whose template is not
/// to be seen, and which are judged by what is asked of it.
pub(super) fn clusters<State>(manifests: &Manifests<State>) -> impl Iterator<Item = &Object> {
    let resource = ApiResource::erase::<cloudnative_pg::Cluster>(&());
    let objects = manifests.objects().iter();
    objects.filter(move |object| *object.resource() == resource)
}

/// The labels of the pods, claims and Services that are made for a `Cluster`.
pub(super) fn inherited_labels(cluster: &Object) -> &Value {
    &cluster.json()["spec"]["inheritedMetadata"]["labels"]
}

/// The containers of a pod, of each list that has any: name of the list, and container.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(move |list| items(&pod[list]).map(move |container| (list, container)))
}

/// The items of a list; none where there is no list.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The text of a field; empty where there is none.
pub(super) fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

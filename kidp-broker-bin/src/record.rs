//! The record of an accepted request, and what a later request makes of it. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::crd::{ServiceInstance, ServiceInstanceSpec};
use kidp_core::deployment::DeploymentId;
use kidp_core::group::{SERVICE_INSTANCE_FINALIZER, TRACEPARENT_ANNOTATION};
use kidp_core::instance::{AdoptSpec, InstanceSpec, PodTemplatePolicy};
use kidp_core::labels::{self, Labels};
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::quantity::parse_bytes;
use kidp_core::trace::TraceParent;
use kidp_provisioners::{ClusterFeatures, Instance, Registry};
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt};
use serde_json::Value;

/// The record of a request, with its finalizer, so that there is no moment in which it could be deleted without
/// cleanup.
pub fn new(namespace: &str, spec: ServiceInstanceSpec) -> ServiceInstance {
    ServiceInstance {
        metadata: ObjectMeta {
            name: Some(spec.deployment_id.to_string()),
            namespace: Some(namespace.to_owned()),
            labels: Some(record_labels(&spec)),
            finalizers: Some(vec![SERVICE_INSTANCE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// The record, with the place in a trace that its spec came from; without any where it came from none. It is an annotation,
/// and no part of the spec: it moves no generation, and nothing is rendered from it.
#[must_use]
pub fn traced(mut record: ServiceInstance, trace: Option<TraceParent>) -> ServiceInstance {
    let key = TRACEPARENT_ANNOTATION;
    if let Some(trace) = trace {
        record.annotations_mut().insert(key.to_owned(), trace.to_string());
    } else if let Some(annotations) = &mut record.metadata.annotations {
        annotations.remove(key);
    }
    record
}

/// Where in a trace the record's spec came from.
pub fn trace(record: &ServiceInstance) -> Option<TraceParent> {
    record.annotations().get(TRACEPARENT_ANNOTATION)?.parse().ok()
}

/// Labels that records are found by.
pub fn record_labels(spec: &ServiceInstanceSpec) -> Labels {
    let mut labels = labels::labels([
        (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
        (labels::INSTANCE, &labels::value(&spec.resource_name)),
        (labels::DEPLOYMENT_ID, spec.deployment_id.as_str()),
        (labels::TEAM, &labels::value(&spec.team)),
    ]);
    if !spec.resource_uid.is_empty() {
        labels.insert(labels::RESOURCE_UID.to_owned(), labels::value(&spec.resource_uid));
    }
    labels
}

/// Selector of the records that a resource of this name may have.
pub fn name_selector(resource_name: &str) -> String {
    format!("{}={}", labels::INSTANCE, labels::value(resource_name))
}

/// Whether an object names this record as an owner of it.
pub fn is_owner(record: &impl ResourceExt, object: &impl ResourceExt) -> bool {
    let uid = record.uid();
    uid.is_some_and(|uid| object.owner_references().iter().any(|owner| owner.uid == uid))
}

/// What a provisioner is given.
pub fn instance(
    namespace: &str,
    spec: &ServiceInstanceSpec,
    owner: Option<OwnerReference>,
    features: ClusterFeatures,
) -> Instance {
    Instance {
        resource_type: spec.resource_type,
        name: spec.resource_name.clone(),
        namespace: namespace.to_owned(),
        deployment_id: spec.deployment_id.clone(),
        resource_uid: spec.resource_uid.clone(),
        team: spec.team.clone(),
        owner: spec.owner.clone(),
        spec: spec.instance.clone(),
        owner_reference: owner,
        revision: spec.render_revision,
        features,
        tls: None,
        adopted: spec.adopted.clone(),
    }
}

/// What a provisioner is given for a record that is in the cluster; the record owns what is made.
pub fn instance_of(record: &ServiceInstance, features: ClusterFeatures) -> Instance {
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    let owner = record.controller_owner_ref(&()).map(|reference| OwnerReference {
        block_owner_deletion: Some(true),
        ..reference
    });
    instance(namespace, &record.spec, owner, features)
}

/// Whether the record was made by the broker of this name. The name is part of the deployment id, so that several
/// brokers can share a cluster without touching each other's instances.
pub fn belongs_to(broker: &str, record: &ServiceInstance) -> bool {
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    id(broker, namespace, &record.spec) == record.spec.deployment_id
}

/// The identity of a deployment.
pub fn id(broker: &str, namespace: &str, spec: &ServiceInstanceSpec) -> DeploymentId {
    let kind = spec.resource_type.as_str();
    DeploymentId::derive(broker, namespace, kind, &spec.resource_name, &spec.resource_uid)
}

/// Whether the record is being deleted.
pub fn is_deleting(record: &ServiceInstance) -> bool {
    record.metadata.deletion_timestamp.is_some()
}

const DRIFT: &str = "spec.drift";

/// What a request makes of the record it finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it asks for what is recorded.
    Same,
    /// The record takes the new spec.
    Update,
    /// Nothing: a newer generation is recorded.
    Stale,
    /// A refusal.
    Refuse(Problem),
}

/// The record that a request asks for, where there is one of its deployment already: an upgraded broker would make a
/// new instance otherwise than it made this one, which stays as it was made; and what was taken over stays so.
pub fn pinned(existing: &ServiceInstance, wanted: &ServiceInstanceSpec) -> ServiceInstanceSpec {
    ServiceInstanceSpec {
        render_revision: existing.spec.render_revision,
        adopted: existing.spec.adopted.clone(),
        ..wanted.clone()
    }
}

/// Compares a request with the record of the same deployment.
///
/// Generations order the requests of one resource. A client without them (both zero) is taken at its word: its
/// latest request wins. A changed callback URL is the client's own affair, and what is done about drift is the team's too:
/// both are taken at any generation that is not older. What an engine cannot follow is said by its provisioner.
pub fn decide(registry: &Registry, existing: &ServiceInstance, wanted: &ServiceInstanceSpec) -> Decision {
    if is_deleting(existing) {
        let say = "this deployment is being deleted; ask again when it is gone";
        // Not a conflict: the same request succeeds a moment later.
        return Decision::Refuse(Problem::new(Reason::ConcurrencyError, say));
    }
    let known = &existing.spec;
    if wanted.resource_generation < known.resource_generation {
        return Decision::Stale;
    }
    if known == wanted {
        return Decision::Same;
    }
    let mut fixed = fixed_faults(&known.instance, &wanted.instance);
    fixed.extend(adoption_faults(known, &wanted.instance));
    if let Some(provisioner) = registry.get(known.resource_type, known.instance.engine) {
        fixed.extend(provisioner.change_faults(&known.instance, &wanted.instance));
    }
    if !fixed.is_empty() {
        return Decision::Refuse(Problem::fields(Reason::InvalidField, fixed));
    }
    let fenced = wanted.resource_generation > 0 && wanted.resource_generation == known.resource_generation;
    let mut changed = changed_fields(known, wanted);
    // What is done about drift is the team's to say as well, whose generations are others.
    changed.retain(|field| field != DRIFT && !field.starts_with(&format!("{DRIFT}.")));
    if fenced && !changed.is_empty() {
        let say = "differs from what was accepted for the same resourceGeneration";
        let faults = changed.into_iter().map(|field| FieldError::new(field, say));
        return Decision::Refuse(Problem::fields(Reason::Conflict, faults.collect()));
    }
    Decision::Update
}

/// Changes of what is fixed when an instance is made, whatever its engine.
fn fixed_faults(known: &InstanceSpec, wanted: &InstanceSpec) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if known.engine != wanted.engine {
        faults.push(FieldError::new(
            "spec.engine",
            format!("is fixed at creation, to {}", known.engine),
        ));
    }
    if known.storage.class != wanted.storage.class {
        faults.push(FieldError::new("spec.storage.class", "is fixed at creation"));
    }
    let sizes = (
        parse_bytes(&known.storage.size),
        parse_bytes(&wanted.storage.size),
    );
    if matches!(sizes, (Ok(known), Ok(wanted)) if wanted < known) {
        let say = format!("can grow, but never shrink; it is {}", known.storage.size);
        faults.push(FieldError::new("spec.storage.size", say));
    }
    faults
}

/// Changes of what is fixed about a StatefulSet that is taken over: all of it once it is done, but that its pod template
/// may still be replaced.
fn adoption_faults(known: &ServiceInstanceSpec, wanted: &InstanceSpec) -> Option<FieldError> {
    let fault = |field: &str, say: &str| Some(FieldError::new(field, say));
    match (&known.instance.adopt, &wanted.adopt, &known.adopted) {
        (None, Some(_), _) => fault("spec.adopt", "can be asked for at creation only"),
        (Some(_), None, Some(_)) => fault("spec.adopt", "is fixed, since the StatefulSet was taken over"),
        (Some(known), Some(wanted), Some(adopted)) => {
            let free = |adopt: &AdoptSpec| AdoptSpec {
                pod_template: PodTemplatePolicy::default(),
                accept_plan: None,
                ..adopt.clone()
            };
            if free(known) != free(wanted) {
                let say =
                    "is fixed, since the StatefulSet was taken over, but for podTemplate and acceptPlan";
                fault("spec.adopt", say)
            } else if adopted.is_replaced() && wanted.pod_template == PodTemplatePolicy::Keep {
                fault("spec.adopt.podTemplate", "was replaced; there is no way back")
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Paths of what differs between two requests, apart from the generation and the callback URL.
fn changed_fields(known: &ServiceInstanceSpec, wanted: &ServiceInstanceSpec) -> Vec<String> {
    let mut fields = Vec::new();
    if known.team != wanted.team {
        fields.push("team".to_owned());
    }
    if known.owner != wanted.owner {
        fields.push("owner".to_owned());
    }
    let as_json = |spec: &InstanceSpec| serde_json::to_value(spec).unwrap_or_default();
    collect_changes(
        "spec",
        &as_json(&known.instance),
        &as_json(&wanted.instance),
        &mut fields,
    );
    fields
}

fn collect_changes(path: &str, known: &Value, wanted: &Value, fields: &mut Vec<String>) {
    match (known, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                );
                collect_changes(&format!("{path}.{key}"), a, b, fields);
            }
        }
        (a, b) if a != b => fields.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests;

//! Admission of a request: a pure function from the request, and what the broker serves, to the record to write.
//!
//! Every fault of a request is reported at once, each with the path of its field as the client wrote it.

use kidp_callback::UrlPolicy;
use kidp_core::crd::ServiceInstanceSpec;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::{Engine, OwnerRef, ResourceType};
use kidp_core::labels;
use kidp_core::names::{validate_label, validate_subdomain};
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::revision::Revision;
use kidp_core::wire::ProvisionRequest;
use kidp_provisioners::{ClusterFeatures, Registry};

use crate::record;

const MAX_UID: usize = 63;

/// What a team's name must be.
pub(crate) const TEAM_RULE: &str =
    "must be 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";

/// The record of `request`, in the namespace that comes with it.
pub fn admit(
    broker: &str,
    registry: &Registry,
    features: ClusterFeatures,
    callback_urls: &UrlPolicy,
    request: ProvisionRequest,
) -> Result<(String, ServiceInstanceSpec), Problem> {
    let mut faults = Vec::new();
    name_faults(&request, &mut faults);
    if let Some(url) = &request.callback_url {
        faults.extend(callback_urls.check(url).err());
    }
    let mut spec = record_spec(broker, &request);
    match registry.get(request.resource_type, request.spec.engine) {
        None => faults.push(no_provisioner(
            registry,
            request.resource_type,
            request.spec.engine,
        )),
        // An instance of a faulty name is not worth a second opinion.
        Some(provisioner) if faults.is_empty() => {
            spec.render_revision = provisioner.latest_revision();
            let instance = record::instance(&request.namespace, &spec, None, features);
            faults.extend(provisioner.validate(&instance).err().unwrap_or_default());
        }
        Some(_) => {}
    }
    if faults.is_empty() {
        Ok((request.namespace, spec))
    } else {
        Err(Problem::fields(Reason::InvalidField, faults))
    }
}

/// The fault of an engine that nothing here provisions, with what is provisioned instead.
pub fn no_provisioner(registry: &Registry, kind: ResourceType, engine: Engine) -> FieldError {
    let mut served: Vec<_> = registry
        .iter()
        .filter(|p| p.resource_type() == kind)
        .map(|p| p.engine().as_str())
        .collect();
    served.sort_unstable();
    let served = if served.is_empty() {
        "none".to_owned()
    } else {
        served.join(", ")
    };
    FieldError::new(
        "spec.engine",
        format!("this broker has no provisioner for a {kind} of engine {engine}; it has: {served}"),
    )
}

fn record_spec(broker: &str, request: &ProvisionRequest) -> ServiceInstanceSpec {
    let uid = request.resource_uid.clone().unwrap_or_default();
    ServiceInstanceSpec {
        deployment_id: DeploymentId::derive(
            broker,
            &request.namespace,
            request.resource_type.as_str(),
            &request.resource_name,
            &uid,
        ),
        resource_type: request.resource_type,
        resource_name: request.resource_name.clone(),
        resource_uid: uid,
        resource_generation: request.resource_generation.unwrap_or_default(),
        team: request.team.clone(),
        owner: request.owner.clone(),
        callback_url: request.callback_url.clone(),
        requested_by: request.requested_by.clone(),
        render_revision: Revision::FIRST,
        adopted: None,
        instance: request.spec.clone(),
    }
}

fn name_faults(request: &ProvisionRequest, faults: &mut Vec<FieldError>) {
    let fault = |field: &str, error: kidp_core::names::NameError| FieldError::new(field, error.to_string());
    faults.extend(
        validate_label(&request.namespace)
            .err()
            .map(|e| fault("namespace", e)),
    );
    faults.extend(
        validate_subdomain(&request.resource_name)
            .err()
            .map(|e| fault("resourceName", e)),
    );
    if request.team.is_empty() || labels::value(&request.team) != request.team {
        faults.push(FieldError::new("team", TEAM_RULE));
    }
    faults.extend(request.owner.as_ref().and_then(owner_fault));
    let uid = request.resource_uid.as_deref().unwrap_or("-");
    let in_uid = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if uid.is_empty() || uid.len() > MAX_UID || !uid.bytes().all(in_uid) {
        let say = "must be 1 to 63 letters, digits and `-`";
        faults.push(FieldError::new("resourceUid", say));
    }
    let client = request.requested_by.as_deref().unwrap_or("-");
    if client.is_empty() || client.len() > MAX_UID || !client.bytes().all(in_uid) {
        let say = "must be 1 to 63 letters, digits and `-`";
        faults.push(FieldError::new("requestedBy", say));
    }
    if request.resource_generation.is_some_and(|g| g < 1) {
        faults.push(FieldError::new("resourceGeneration", "must be at least 1"));
    }
}

fn owner_fault(owner: &OwnerRef) -> Option<FieldError> {
    validate_subdomain(&owner.name)
        .err()
        .map(|error| FieldError::new("owner.name", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    fn faults(change: serde_json::Value) -> Vec<String> {
        let mut request = testing::request_json();
        merge(&mut request, change);
        let request = serde_json::from_value(request).unwrap();
        let policy = UrlPolicy::new(&["http://operator:9090/v1/callback"]).unwrap();
        match admit(
            "eu",
            &testing::registry(),
            ClusterFeatures::default(),
            &policy,
            request,
        ) {
            Ok(_) => Vec::new(),
            Err(problem) => {
                assert_eq!(problem.code, 422);
                problem.details.into_iter().map(|d| d.field).collect()
            }
        }
    }

    fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(serde_json::Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn a_sound_request_passes() {
        assert!(faults(json!({})).is_empty());
        assert!(faults(json!({"callbackUrl": "http://operator:9090/v1/callback"})).is_empty());
    }

    #[test]
    fn every_fault_names_its_field() {
        for (change, field) in [
            (json!({"namespace": "Shop"}), "namespace"),
            (json!({"resourceName": "a b"}), "resourceName"),
            (json!({"resourceName": ""}), "resourceName"),
            (json!({"team": ""}), "team"),
            (json!({"team": "a b"}), "team"),
            (json!({"owner": {"kind": "Team", "name": "A!"}}), "owner.name"),
            (json!({"resourceUid": "a/b"}), "resourceUid"),
            (json!({"requestedBy": ""}), "requestedBy"),
            (json!({"resourceGeneration": 0}), "resourceGeneration"),
            (json!({"callbackUrl": "http://169.254.169.254/"}), "callbackUrl"),
            (json!({"spec": {"engine": "sqlserver"}}), "spec.engine"),
            (json!({"resourceType": "Cache"}), "spec.engine"),
            (json!({"spec": {"version": "1"}}), "spec.version"),
        ] {
            assert_eq!(faults(change.clone()), [field], "{change}");
        }
    }

    #[test]
    fn several_faults_are_told_at_once() {
        let all = faults(json!({"namespace": "Shop", "team": "", "spec": {"engine": "sqlserver"}}));
        assert_eq!(all, ["namespace", "team", "spec.engine"]);
    }
}

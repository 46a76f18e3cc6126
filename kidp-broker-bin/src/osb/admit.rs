//! Admission of OSB requests: from a plan and parameters to the record that the other routes would write. Pure.
//!
//! The record's name and identity come from the instance id, so that a repeat is the same instance. Faults are told by
//! the fields that the platform wrote.

use kidp_callback::UrlPolicy;
use kidp_core::crd::{ServiceInstance, ServiceInstanceSpec};
use kidp_core::names::short_hash;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::wire::ProvisionRequest;
use kidp_provisioners::{ClusterFeatures, Provisioner, Registry};

use super::catalog::{self, Choice};
use super::error::OsbError;
use super::parameters::{self, InstanceParameters};
use super::wire::{Context, MaintenanceInfo, ProvisionInstance, UpdateInstance};
use crate::{admit, record};

const MAX_ID: usize = 63;
/// The platform that says its namespace.
const KUBERNETES: &str = "kubernetes";

/// What requests are judged by.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Name of the broker.
    pub broker: &'a str,
    /// What it provisions.
    pub registry: &'a Registry,
    /// What its cluster offers.
    pub features: ClusterFeatures,
}

/// Name of the resource of an instance.
pub fn resource_name(instance_id: &str) -> String {
    format!("osb-{}", short_hash(&[instance_id], 16))
}

/// Whether a record is that of this instance id, and came in here: a record of another client's with the same UID is not.
pub fn is_of(record: &ServiceInstance, instance_id: &str) -> bool {
    record.spec.resource_uid == instance_id && record.spec.resource_name == resource_name(instance_id)
}

/// Checks an id that a platform made.
pub fn check_id(field: &str, id: &str) -> Result<(), OsbError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(OsbError::field(
        field,
        "must be 1 to 63 letters, digits and `-`, such as a UUID",
    ))
}

impl Desk<'_> {
    /// The plan of these ids.
    fn choice(&self, service_id: &str, plan_id: &str) -> Result<Choice, OsbError> {
        catalog::find(self.broker, self.registry, self.features, service_id, plan_id)
            .map_err(|field| OsbError::field(field, "is not in the catalog"))
    }

    fn provisioner(&self, choice: &Choice) -> Result<&dyn Provisioner, OsbError> {
        let found = self.registry.get(choice.resource_type, choice.engine);
        found
            .map(AsRef::as_ref)
            .ok_or_else(|| OsbError::field("service_id", "is not in the catalog"))
    }

    /// The record that a new instance asks for, and its namespace.
    pub fn provision(
        &self,
        instance_id: &str,
        request: ProvisionInstance,
    ) -> Result<(String, ServiceInstanceSpec), OsbError> {
        check_id("instance_id", instance_id)?;
        for (field, text) in [
            ("organization_guid", &request.organization_guid),
            ("space_guid", &request.space_guid),
        ] {
            if text.is_empty() {
                return Err(OsbError::field(field, "must not be empty"));
            }
        }
        let choice = self.choice(&request.service_id, &request.plan_id)?;
        let provisioner = self.provisioner(&choice)?;
        check_maintenance(provisioner, request.maintenance_info.as_ref())?;
        let given = request.parameters.unwrap_or_default();
        let namespace = namespace(request.context.unwrap_or_default(), given.namespace.clone())?;
        let request = ProvisionRequest {
            requested_by: None,
            resource_type: choice.resource_type,
            resource_name: resource_name(instance_id),
            team: given.team.clone().unwrap_or_else(|| namespace.clone()),
            namespace,
            owner: None,
            callback_url: None,
            spec: parameters::create(&choice, &provisioner.capabilities_with(self.features), given),
            resource_uid: Some(instance_id.to_owned()),
            resource_generation: None,
        };
        admit::admit(
            self.broker,
            self.registry,
            self.features,
            &UrlPolicy::default(),
            request,
        )
        .map_err(|problem| in_platform_terms(problem).into())
    }

    /// The record that a change of an instance asks for.
    pub fn update(
        &self,
        existing: &ServiceInstance,
        request: UpdateInstance,
    ) -> Result<ServiceInstanceSpec, OsbError> {
        let known = &existing.spec;
        let current = Choice::of(known);
        if request.service_id != current.service_id(self.broker) {
            return Err(OsbError::field("service_id", "is fixed at creation"));
        }
        let choice = match &request.plan_id {
            Some(plan_id) => Some(self.choice(&request.service_id, plan_id)?),
            None => None,
        };
        let provisioner = self.provisioner(&current)?;
        check_maintenance(provisioner, request.maintenance_info.as_ref())?;
        let given = request.parameters.unwrap_or_default();
        let place = existing.metadata.namespace.as_deref().unwrap_or_default();
        if given.namespace.as_deref().is_some_and(|wanted| wanted != place) {
            let say = format!("is fixed at creation, to {place}");
            return Err(OsbError::field("parameters.namespace", say));
        }
        let wanted = ServiceInstanceSpec {
            team: given.team.clone().unwrap_or_else(|| known.team.clone()),
            render_revision: match &request.maintenance_info {
                Some(_) => provisioner.latest_revision(),
                None => known.render_revision,
            },
            instance: parameters::update(&known.instance, choice.as_ref(), given),
            ..known.clone()
        };
        self.check(existing, provisioner, &wanted)?;
        Ok(wanted)
    }

    fn check(
        &self,
        existing: &ServiceInstance,
        provisioner: &dyn Provisioner,
        wanted: &ServiceInstanceSpec,
    ) -> Result<(), OsbError> {
        let namespace = existing.metadata.namespace.as_deref().unwrap_or_default();
        let mut faults = Vec::new();
        if kidp_core::labels::value(&wanted.team) != wanted.team || wanted.team.is_empty() {
            faults.push(FieldError::new("team", admit::TEAM_RULE));
        }
        let instance = record::instance(namespace, wanted, None, self.features);
        faults.extend(provisioner.validate(&instance).err().unwrap_or_default());
        if faults.is_empty() {
            return Ok(());
        }
        Err(in_platform_terms(Problem::fields(Reason::InvalidField, faults)).into())
    }
}

fn check_maintenance(provisioner: &dyn Provisioner, given: Option<&MaintenanceInfo>) -> Result<(), OsbError> {
    let known = catalog::maintenance_info(provisioner.latest_revision()).version;
    match given {
        Some(given) if given.version != known => Err(OsbError::maintenance_info(&known)),
        _ => Ok(()),
    }
}

/// Where an instance goes: where the platform says, or the parameter where it does not.
fn namespace(context: Context, parameter: Option<String>) -> Result<String, OsbError> {
    let told = context
        .namespace
        .filter(|_| context.platform.as_deref() == Some(KUBERNETES));
    match (told, parameter) {
        (Some(told), Some(asked)) if told != asked => Err(OsbError::field(
            "parameters.namespace",
            format!("must be the platform's, {told}, or absent"),
        )),
        (Some(namespace), _) | (None, Some(namespace)) => Ok(namespace),
        (None, None) => Err(OsbError::field(
            "parameters.namespace",
            "is needed where the context has no namespace of platform kubernetes",
        )),
    }
}

/// The fields of a refusal as the platform wrote them.
pub fn in_platform_terms(problem: Problem) -> Problem {
    let renamed = problem
        .details
        .into_iter()
        .map(|fault| FieldError::new(platform_field(&fault.field), fault.message))
        .collect::<Vec<_>>();
    if renamed.is_empty() {
        return Problem {
            details: renamed,
            ..problem
        };
    }
    Problem {
        code: problem.code,
        ..Problem::fields(problem.error, renamed)
    }
}

fn platform_field(field: &str) -> String {
    match field {
        "namespace" => "context.namespace".to_owned(),
        "team" => "parameters.team".to_owned(),
        "resourceUid" | "resourceName" => "instance_id".to_owned(),
        "spec.size" | "spec.highAvailability" => "plan_id".to_owned(),
        "spec.engine" => "service_id".to_owned(),
        _ => match field.strip_prefix("spec.") {
            Some(rest) => format!("parameters.{rest}"),
            None => field.to_owned(),
        },
    }
}

/// The parameters of an instance, as it is.
pub fn parameters_of(record: &ServiceInstance) -> InstanceParameters {
    let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
    parameters::of(namespace, &record.spec.team, &record.spec.instance)
}

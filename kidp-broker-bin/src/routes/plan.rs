//! `POST /v1/plan`: what a provision request would do. It is admitted as one, and nothing is recorded or written.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::wire::{
    PlanAction, PlanNote, PlanView, PlannedAdoption, PlannedChange, PlannedResources, ProvisionRequest,
    RequestedResources, Severity,
};
use kidp_provisioners::plan::{Plan, Requested};
use kidp_provisioners::{ApplyError, Change, Consequence, Instance, Provisioner, adoption};

use crate::Broker;
use crate::auth::Caller;
use crate::error::{ApiError, from_kube};
use crate::extract::Body;
use crate::record;
use crate::records::Preview;
use crate::routes::provision::admitted;

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Body(request): Body<ProvisionRequest>,
) -> Result<Json<PlanView>, ApiError> {
    let features = broker.features.current();
    // Who may not write does not learn what a write would meet.
    let (namespace, spec) = admitted(&broker, &caller, features, request)?;
    let id = spec.deployment_id.clone();
    let Preview { action, record } = broker
        .records
        .preview(&broker.registry, &namespace, &spec)
        .await?;
    let (plan, adoption) = match broker.registry.get(spec.resource_type, spec.instance.engine) {
        Some(provisioner) if action != PlanAction::Stale => {
            let instance = match &record {
                Some(record) => record::instance_of(record, features),
                None => record::instance(&namespace, &spec, None, features),
            };
            let planned = planned(provisioner.as_ref(), &broker, &instance).await;
            planned.map_err(|error| problem(&error))?
        }
        _ => (Plan::default(), None),
    };
    Ok(Json(PlanView {
        deployment_id: id,
        action,
        consequence: severity(plan.consequence),
        created: plan.created,
        changes: plan.changes.into_iter().map(change).collect(),
        unknown: plan
            .unknown
            .iter()
            .map(|unknown| note(&unknown.object, unknown.to_string()))
            .collect(),
        refusals: plan
            .refusals
            .into_iter()
            .map(|refusal| note(&refusal.object, refusal.message))
            .collect(),
        resources: PlannedResources {
            before: requested(plan.resources.before),
            after: requested(plan.resources.after),
        },
        adoption,
    }))
}

/// The plan of a request, and what is to be decided before it where a StatefulSet would be taken over.
async fn planned(
    provisioner: &dyn Provisioner,
    broker: &Broker,
    instance: &Instance,
) -> Result<(Plan, Option<PlannedAdoption>), ApplyError> {
    if !adoption::is_due(instance) {
        return Ok((provisioner.plan(&broker.client, instance).await?, None));
    }
    let examined = adoption::examine(provisioner, &broker.client, instance).await?;
    let blockers = examined.blockers.iter();
    let view = PlannedAdoption {
        blockers: blockers
            .map(|blocker| note(&blocker.object, blocker.obstacle.to_string()))
            .collect(),
        digest: examined.digest,
    };
    Ok((examined.plan, Some(view)))
}

fn note(object: &str, message: String) -> PlanNote {
    PlanNote {
        object: object.to_owned(),
        message,
    }
}

fn change(change: Change) -> PlannedChange {
    PlannedChange {
        object: change.object,
        path: change.path,
        before: change.before,
        after: change.after,
        consequence: severity(change.consequence),
    }
}

fn severity(consequence: Consequence) -> Severity {
    match consequence {
        Consequence::None => Severity::None,
        Consequence::Reload => Severity::Reload,
        Consequence::RollingRestart => Severity::RollingRestart,
        Consequence::Recreate => Severity::Recreate,
        Consequence::DataLoss => Severity::DataLoss,
    }
}

fn requested(requested: Requested) -> RequestedResources {
    RequestedResources {
        cpu_cores: requested.cpu_cores,
        memory_gib: requested.memory_gib,
        storage_gib: requested.storage_gib,
    }
}

/// Why there is no plan; what would merely be refused is in one.
fn problem(error: &ApplyError) -> Problem {
    match error {
        ApplyError::NamespaceMissing { .. } => namespace("does not exist in this broker's cluster"),
        ApplyError::NamespaceTerminating { .. } => namespace("is being deleted"),
        ApplyError::Kube { source, .. } => from_kube("planning", source),
        ApplyError::Timeout { .. } => {
            Problem::new(Reason::Unavailable, "the cluster does not answer; try again")
        }
        other => {
            tracing::warn!(error = %other, "a request cannot be planned");
            Problem::new(
                Reason::Internal,
                "the request cannot be planned; the broker's log says why",
            )
        }
    }
}

fn namespace(message: &str) -> Problem {
    Problem::fields(Reason::InvalidField, vec![FieldError::new("namespace", message)])
}

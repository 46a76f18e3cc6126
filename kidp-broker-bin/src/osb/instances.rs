//! Routes of instances: `/v2/service_instances/{instance_id}` and its `last_operation`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use kidp_core::crd::{Phase, ServiceInstance, ServiceInstanceSpec};
use kidp_core::problem::{Problem, Reason};
use kube::ResourceExt as _;

use super::admit::{Desk, check_id, in_platform_terms, is_of, parameters_of, resource_name};
use super::catalog::{self, Choice};
use super::error::OsbError;
use super::operation::{self, Absent};
use super::wire::{
    Hints, Incomplete, InstanceView, Operation, Outcome, ProvisionInstance, Removal, State as Progress,
    UpdateInstance,
};
use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::bindings::is_deleting;
use crate::error::{ApiError, from_kube};
use crate::extract::{Body, Path, Query, Trace};
use crate::record::{self, Decision};
use crate::records::contended;
use crate::{Broker, view};

/// How often a request is decided anew when its record changes meanwhile.
const ATTEMPTS: usize = 4;
/// When to poll again, in seconds.
const POLL_AFTER: u16 = 5;

/// The record of an instance, by the id that the platform gave it, if the client may do this to it.
pub(super) async fn find(
    broker: &Broker,
    caller: &Caller,
    verb: Verb,
    instance_id: &str,
) -> Result<Option<ServiceInstance>, OsbError> {
    check_id("instance_id", instance_id)?;
    let found = broker
        .records
        .list(None, Some(&resource_name(instance_id)))
        .await?;
    let Some(record) = found.into_iter().find(|record| is_of(record, instance_id)) else {
        return Ok(None);
    };
    let namespace = record.namespace().unwrap_or_default();
    caller.audit.instance(&namespace, &record.spec);
    caller.check(verb, &namespace)?;
    Ok(Some(record))
}

/// What requests are judged by.
pub(super) fn desk(broker: &Broker) -> Desk<'_> {
    Desk {
        broker: &broker.name,
        registry: &broker.registry,
        features: broker.features.current(),
    }
}

/// 202, and what to poll with.
pub(super) fn accepted(operation: Operation) -> Response {
    let outcome = Outcome {
        operation: Some(operation),
    };
    let headers = [(RETRY_AFTER, POLL_AFTER)];
    (StatusCode::ACCEPTED, headers.map(header), Json(outcome)).into_response()
}

fn header((name, value): (axum::http::HeaderName, u16)) -> (axum::http::HeaderName, axum::http::HeaderValue) {
    (name, value.into())
}

/// 410, which a platform takes for the success of a removal.
pub(super) fn gone() -> Response {
    (StatusCode::GONE, Json(Outcome::default())).into_response()
}

/// Refuses ids of another offering or plan than the instance's.
pub(super) fn check_ids(
    broker: &Broker,
    record: &ServiceInstance,
    service_id: &str,
    plan_id: &str,
) -> Result<(), OsbError> {
    let choice = Choice::of(&record.spec);
    for (field, given, known) in [
        ("service_id", service_id, choice.service_id(&broker.name)),
        ("plan_id", plan_id, choice.plan_id(&broker.name)),
    ] {
        if given != known {
            return Err(OsbError::field(
                field,
                format!("is not the instance's, which is {known}"),
            ));
        }
    }
    Ok(())
}

pub(super) async fn put(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path(instance_id): Path<String>,
    Query(query): Query<Incomplete>,
    Trace(trace): Trace,
    Body(request): Body<ProvisionInstance>,
) -> Result<Response, Refusal> {
    if !query.accepts_incomplete {
        return Err(OsbError::async_required().into());
    }
    let (namespace, wanted) = desk(&broker).provision(&instance_id, request)?;
    caller.audit.instance(&namespace, &wanted);
    caller.check(Verb::Write, &namespace)?;
    // A record that is made or removed between two looks is decided on at the next.
    for _ in 0..ATTEMPTS {
        if let Some(existing) = find(&broker, &caller, Verb::Write, &instance_id).await? {
            return Ok(repeated(&existing, &namespace, &wanted)?);
        }
        let created = broker.records.create(&namespace, &wanted, trace).await;
        if created.map_err(in_platform_terms)? {
            tracing::info!(id = %wanted.deployment_id, %namespace, instance_id, "request recorded");
            return Ok(accepted(Operation::Provision));
        }
    }
    Err(contended().into())
}

/// The answer to a request for an instance that there is.
fn repeated(
    existing: &ServiceInstance,
    namespace: &str,
    wanted: &ServiceInstanceSpec,
) -> Result<Response, OsbError> {
    if record::is_deleting(existing) {
        return Err(OsbError::concurrency("the instance is being removed"));
    }
    let same_place = existing.metadata.namespace.as_deref() == Some(namespace);
    if !same_place || record::pinned(existing, wanted) != existing.spec {
        let say = "is the id of an instance that was asked for otherwise";
        return Err(OsbError::conflict("instance_id", say));
    }
    if view::is_usable(view::phase(existing)) {
        return Ok((StatusCode::OK, Json(Outcome::default())).into_response());
    }
    Ok(accepted(Operation::Provision))
}

pub(super) async fn patch(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path(instance_id): Path<String>,
    Query(query): Query<Incomplete>,
    Trace(trace): Trace,
    Body(request): Body<UpdateInstance>,
) -> Result<Response, Refusal> {
    if !query.accepts_incomplete {
        return Err(OsbError::async_required().of_update().into());
    }
    for _ in 0..ATTEMPTS {
        let Some(existing) = find(&broker, &caller, Verb::Write, &instance_id).await? else {
            return Err(OsbError::not_found("instance_id").into());
        };
        if record::is_deleting(&existing) {
            return Err(OsbError::concurrency("the instance is being removed").into());
        }
        let wanted = desk(&broker)
            .update(&existing, request.clone())
            .map_err(OsbError::of_update)?;
        match record::decide(&broker.registry, &existing, &wanted) {
            Decision::Refuse(problem) => {
                return Err(OsbError::from(in_platform_terms(problem)).of_update().into());
            }
            Decision::Same | Decision::Stale if view::is_usable(view::phase(&existing)) => {
                return Ok((StatusCode::OK, Json(Outcome::default())).into_response());
            }
            Decision::Same | Decision::Stale => return Ok(accepted(Operation::Update)),
            Decision::Update => {}
        }
        if broker.records.replace(existing, &wanted, trace).await? {
            tracing::info!(id = %wanted.deployment_id, instance_id, "request recorded");
            return Ok(accepted(Operation::Update));
        }
    }
    Err(contended().into())
}

pub(super) async fn delete(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path(instance_id): Path<String>,
    Query(query): Query<Removal>,
) -> Result<Response, Refusal> {
    let Some(existing) = find(&broker, &caller, Verb::Write, &instance_id).await? else {
        return Ok(gone());
    };
    if !query.accepts_incomplete {
        return Err(OsbError::async_required().into());
    }
    check_ids(&broker, &existing, &query.service_id, &query.plan_id)?;
    if !record::is_deleting(&existing) {
        refuse_bound(&broker, &existing).await?;
        let (id, namespace) = (
            &existing.spec.deployment_id,
            existing.metadata.namespace.as_deref(),
        );
        if !broker.records.delete(id, namespace, None).await? {
            return Ok(gone());
        }
        tracing::info!(%id, instance_id, "deprovision");
    }
    Ok(accepted(Operation::Deprovision))
}

/// A platform unbinds before it removes, so that an instance with bindings is still in use. One whose bindings are being
/// removed is not: what keeps them must not keep the instance.
async fn refuse_bound(broker: &Broker, existing: &ServiceInstance) -> Result<(), OsbError> {
    let bindings = broker.bindings.list(existing).await;
    let bindings = bindings.map_err(|e| from_kube("listing bindings", &e))?;
    let in_use = bindings.iter().filter(|binding| !is_deleting(binding)).count();
    if in_use == 0 {
        return Ok(());
    }
    Err(OsbError::field(
        "instance_id",
        format!("has {in_use} bindings: unbind them first"),
    ))
}

pub(super) async fn get(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path(instance_id): Path<String>,
    Query(_): Query<Hints>,
) -> Result<Json<InstanceView>, Refusal> {
    let found = find(&broker, &caller, Verb::Read, &instance_id).await?;
    let Some(record) = found.filter(operation::was_ready) else {
        return Err(OsbError::not_found("instance_id").into());
    };
    if record::is_deleting(&record) || view::phase(&record) == Phase::Provisioning {
        return Err(OsbError::concurrency("the instance is being changed").into());
    }
    let choice = Choice::of(&record.spec);
    Ok(Json(InstanceView {
        service_id: choice.service_id(&broker.name),
        plan_id: choice.plan_id(&broker.name),
        parameters: parameters_of(&record),
        maintenance_info: catalog::maintenance_info(record.spec.render_revision),
    }))
}

pub(super) async fn last_operation(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path(instance_id): Path<String>,
    Query(hints): Query<Hints>,
) -> Result<Response, Refusal> {
    let operation = operation::named(hints.operation.as_deref());
    match find(&broker, &caller, Verb::Read, &instance_id).await? {
        Some(record) => Ok(polled(&operation::of_instance(&record, operation))),
        None => absent(operation, "instance_id"),
    }
}

/// The answer to a poll for what is not there.
pub(super) fn absent(operation: Option<Operation>, field: &str) -> Result<Response, Refusal> {
    match operation::absent(operation) {
        Absent::Gone => Ok(gone()),
        Absent::Unknown => Err(OsbError::not_found(field).into()),
    }
}

/// The answer to a poll.
pub(super) fn polled(seen: &super::wire::LastOperation) -> Response {
    let mut response = Json(seen).into_response();
    if seen.state == Progress::InProgress {
        response.headers_mut().insert(RETRY_AFTER, POLL_AFTER.into());
    }
    response
}

/// A refusal by this API or by what it shares with the others.
#[derive(Debug)]
pub(super) struct Refusal(OsbError);

impl From<OsbError> for Refusal {
    fn from(error: OsbError) -> Self {
        Self(error)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        // A name that is being freed: the same request succeeds a moment later.
        if problem.error == Reason::Unavailable && !problem.details.is_empty() {
            return Self(OsbError::concurrency(&problem.message));
        }
        Self(problem.into())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        error.0.into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

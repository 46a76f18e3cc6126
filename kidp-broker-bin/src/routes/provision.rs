//! `POST /v1/provision`: takes a request on, durably, before it says so.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kidp_core::crd::ServiceInstanceSpec;
use kidp_core::wire::{Accepted, ProvisionRequest};
use kidp_provisioners::ClusterFeatures;

use crate::Broker;
use crate::admit::admit;
use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::error::ApiError;
use crate::extract::{Body, Trace};
use crate::records::Taken;

/// The record that a caller asks for, if it may: noted in the audit, authorised, and without fault.
pub(super) fn admitted(
    broker: &Broker,
    caller: &Caller,
    features: ClusterFeatures,
    request: ProvisionRequest,
) -> Result<(String, ServiceInstanceSpec), ApiError> {
    caller.audit.namespace(&request.namespace);
    caller
        .audit
        .resource(request.resource_type.as_str(), &request.resource_name);
    caller.check(Verb::Write, &request.namespace)?;
    let (namespace, spec) = admit(
        &broker.name,
        &broker.registry,
        features,
        &broker.callback_urls,
        request,
    )?;
    caller.audit.deployment(spec.deployment_id.as_str());
    Ok((namespace, spec))
}

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Trace(trace): Trace,
    Body(request): Body<ProvisionRequest>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let (namespace, spec) = admitted(&broker, &caller, broker.features.current(), request)?;
    let taken = broker
        .records
        .accept(&broker.registry, &namespace, &spec, trace)
        .await?;
    broker.metrics.taken(taken);
    tracing::info!(id = %spec.deployment_id, %namespace, name = spec.resource_name, ?taken, "request recorded");
    let message = match taken {
        Taken::Created => "provisioning has begun",
        Taken::Unchanged => "this request is known already",
        Taken::Updated => "the change is being applied",
        Taken::Stale => "ignored: a newer generation is known",
    };
    let accepted = Accepted {
        status: "accepted".to_owned(),
        deployment_id: spec.deployment_id,
        message: message.to_owned(),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

//! `POST /v1/provision`: takes a request on, durably, before it says so.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kidp_core::wire::{Accepted, ProvisionRequest};

use crate::Broker;
use crate::admit::admit;
use crate::error::ApiError;
use crate::extract::Body;
use crate::records::Taken;

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    Body(request): Body<ProvisionRequest>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let (namespace, spec) = admit(&broker.name, &broker.registry, &broker.callback_urls, request)?;
    let taken = broker.records.accept(&namespace, &spec).await?;
    tracing::info!(id = %spec.deployment_id, %namespace, name = spec.resource_name, ?taken, "provision");
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

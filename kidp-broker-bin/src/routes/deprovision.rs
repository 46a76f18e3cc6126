//! `POST /v1/deprovision`: starts a removal, which the controller carries out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kidp_core::names::validate_label;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::wire::{Accepted, DeprovisionRequest};

use super::status::unknown;
use crate::Broker;
use crate::error::ApiError;
use crate::extract::Body;

pub(super) async fn post(
    State(broker): State<Arc<Broker>>,
    Body(request): Body<DeprovisionRequest>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let DeprovisionRequest {
        deployment_id,
        namespace,
        deletion_policy,
    } = request;
    if let Some(Err(error)) = namespace.as_deref().map(validate_label) {
        let fault = FieldError::new("namespace", error.to_string());
        return Err(Problem::fields(Reason::InvalidField, vec![fault]).into());
    }
    let found = broker
        .records
        .delete(&deployment_id, namespace.as_deref(), deletion_policy)
        .await?;
    if !found {
        return Err(unknown("deploymentId").into());
    }
    tracing::info!(id = %deployment_id, "deprovision");
    let accepted = Accepted {
        status: "accepted".to_owned(),
        deployment_id,
        message: "removal has begun".to_owned(),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

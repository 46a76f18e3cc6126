//! `GET /v1/status?id=`: where one deployment is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kidp_core::deployment::DeploymentId;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::wire::DeploymentStatus;
use serde::Deserialize;

use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::error::ApiError;
use crate::extract::Query;
use crate::{Broker, view};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ById {
    id: DeploymentId,
}

pub(super) async fn get(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Query(ById { id }): Query<ById>,
) -> Result<Json<DeploymentStatus>, ApiError> {
    match broker.records.find(&id, None).await? {
        Some(record) => {
            caller.check(
                Verb::Read,
                record.metadata.namespace.as_deref().unwrap_or_default(),
            )?;
            Ok(Json(view::status(&record)))
        }
        None => Err(unknown("id").into()),
    }
}

/// The refusal of an id that nothing here has.
pub(super) fn unknown(field: &str) -> Problem {
    Problem::fields(
        Reason::NotFound,
        vec![FieldError::new(field, "no deployment of this broker has this id")],
    )
}

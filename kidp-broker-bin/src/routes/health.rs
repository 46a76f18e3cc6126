//! `GET /health`: the process is up. `GET /readiness`: it can take requests on.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use kidp_core::problem::{Problem, Reason};
use serde_json::{Value, json};

use crate::Broker;
use crate::error::ApiError;

const LIMIT: Duration = Duration::from_secs(2);

/// Touches nothing but the process, so that an ailing cluster does not have its broker restarted.
pub(super) async fn live(State(broker): State<Arc<Broker>>) -> Json<Value> {
    Json(body(&broker, "healthy"))
}

/// The signing key is there (the broker does not start without), the API server answers, and the records can
/// be read.
pub(super) async fn ready(State(broker): State<Arc<Broker>>) -> Result<Json<Value>, ApiError> {
    match tokio::time::timeout(LIMIT, broker.records.reachable()).await {
        Ok(Ok(())) => Ok(Json(body(&broker, "ready"))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: records cannot be read");
            Err(Problem::new(Reason::Unavailable, "records cannot be read; the log says why").into())
        }
        Err(_) => Err(Problem::new(Reason::Unavailable, "the cluster does not answer in time").into()),
    }
}

fn body(broker: &Broker, status: &str) -> Value {
    json!({"status": status, "service": "kidp-broker", "name": broker.name, "version": env!("CARGO_PKG_VERSION")})
}

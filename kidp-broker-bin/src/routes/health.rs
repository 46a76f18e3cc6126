//! `GET /health`: the process is up. `GET /readiness`: it can take requests on.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use kidp_core::problem::{Problem, Reason};
use kidp_core::wire::Health;
use moka::future::Cache;

use crate::Broker;
use crate::error::ApiError;
use crate::records::Records;

/// Longest that the cluster is waited for.
const LIMIT: Duration = Duration::from_secs(2);
/// How long an answer holds, so that who asks often, and anybody may, does not ask the cluster as often.
const HOLDS: Duration = Duration::from_secs(1);

/// The last answer about the cluster; a moment old at the most.
#[derive(Clone, Debug)]
pub struct Reachability(Cache<(), Option<&'static str>>);

impl Default for Reachability {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1).time_to_live(HOLDS).build())
    }
}

impl Reachability {
    /// What is wrong, if anything is.
    async fn fault(&self, records: &Records) -> Option<&'static str> {
        self.0.get_with((), look(records)).await
    }
}

async fn look(records: &Records) -> Option<&'static str> {
    match tokio::time::timeout(LIMIT, records.reachable()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: records cannot be read");
            Some("records cannot be read; the log says why")
        }
        Err(_) => Some("the cluster does not answer in time"),
    }
}

/// Touches nothing but the process, so that an ailing cluster does not have its broker restarted.
pub(super) async fn live(State(broker): State<Arc<Broker>>) -> Json<Health> {
    Json(body(&broker, "healthy"))
}

/// The signing key is there (the broker does not start without), the API server answers, and the records can
/// be read.
pub(super) async fn ready(State(broker): State<Arc<Broker>>) -> Result<Json<Health>, ApiError> {
    match broker.reachability.fault(&broker.records).await {
        None => Ok(Json(body(&broker, "ready"))),
        Some(fault) => Err(Problem::new(Reason::Unavailable, fault).into()),
    }
}

fn body(broker: &Broker, status: &str) -> Health {
    Health {
        status: status.to_owned(),
        service: "kidp-broker".to_owned(),
        name: broker.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

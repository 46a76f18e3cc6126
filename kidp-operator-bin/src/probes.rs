//! `/healthz` and `/readyz`.
//!
//! Healthy: the process answers. Ready: the API server answers, and either the caches are complete or this replica
//! stands by. The API server is asked at most once in [`REMEMBERED`], whoever probes how often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::{Mutex, watch};

const REMEMBERED: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(2);

/// What this replica is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Starting: not yet known who leads, or caches incomplete.
    Starting,
    /// Another replica leads.
    StandingBy,
    /// Caches are complete, controllers run.
    Working,
    /// On its way out.
    Stopping,
}

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    client: kube::Client,
    stage: watch::Receiver<Stage>,
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Probes {
    /// Probes of the process that is at `stage`.
    pub fn new(client: kube::Client, stage: watch::Receiver<Stage>) -> Self {
        let last = Arc::default();
        Self { client, stage, last }
    }

    async fn api_server_answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((_, answer)) = last.filter(|(at, _)| at.elapsed() < REMEMBERED) {
            return answer;
        }
        let asked = tokio::time::timeout(LIMIT, self.client.apiserver_version()).await;
        let answer = matches!(asked, Ok(Ok(_)));
        *last = Some((Instant::now(), answer));
        answer
    }
}

/// The routes of the probes.
pub fn app(probes: Probes) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    let stage = *probes.stage.borrow();
    match stage {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Stage::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        Stage::StandingBy | Stage::Working if !probes.api_server_answers().await => {
            (StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer")
        }
        Stage::StandingBy => (StatusCode::OK, "standing by"),
        Stage::Working => (StatusCode::OK, "working"),
    }
}

//! The broker that this program plays: it takes everything on, and what it has is ready when it is told so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kidp_callback::{Callback, CallbackPhase, Outcome, Sender, SigningKey};
use kidp_core::crd::Phase;
use kidp_core::deployment::DeploymentId;
use kidp_core::problem::{Problem, Reason};
use kidp_core::wire::{Accepted, BrokerRoot, DeploymentStatus, DeprovisionRequest, ProvisionRequest};
use serde::Deserialize;
use tokio::task::JoinHandle;
use url::Url;

use super::{LoadError, NAMESPACE};

/// What it was asked for, and how far each is.
#[derive(Default)]
pub struct Deployments(Mutex<HashMap<DeploymentId, (ProvisionRequest, Phase)>>);

impl Deployments {
    /// Alone with them.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<DeploymentId, (ProvisionRequest, Phase)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The broker.
pub struct Played {
    /// What it was asked for.
    pub deployments: Arc<Deployments>,
    sender: Sender,
    callback_url: Url,
    server: JoinHandle<()>,
}

impl Drop for Played {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Routes {
    deployments: Arc<Deployments>,
    key: String,
}

#[derive(Deserialize)]
struct ById {
    id: DeploymentId,
}

async fn root(State(routes): State<Routes>) -> Json<BrokerRoot> {
    Json(BrokerRoot {
        service: "kidp-broker".into(),
        name: NAMESPACE.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        callback_public_key: routes.key,
        capabilities: Vec::new(),
        endpoints: Vec::new(),
        links: std::collections::BTreeMap::default(),
    })
}

async fn provision(State(routes): State<Routes>, Json(request): Json<ProvisionRequest>) -> Response {
    let uid = request.resource_uid.clone().unwrap_or_default();
    let id = DeploymentId::derive(
        NAMESPACE,
        &request.namespace,
        request.resource_type.as_str(),
        &request.resource_name,
        &uid,
    );
    let mut held = routes.deployments.lock();
    held.entry(id.clone()).or_insert((request, Phase::Provisioning));
    let accepted = Accepted {
        status: "accepted".into(),
        deployment_id: id,
        message: String::new(),
    };
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

/// What it has is gone at once, so it answers as a broker that has nothing to remove.
async fn deprovision(State(routes): State<Routes>, Json(request): Json<DeprovisionRequest>) -> Response {
    routes.deployments.lock().remove(&request.deployment_id);
    nothing()
}

fn nothing() -> Response {
    let problem = Problem::new(Reason::NotFound, "no such deployment");
    (StatusCode::NOT_FOUND, Json(problem)).into_response()
}

async fn status(State(routes): State<Routes>, Query(ById { id }): Query<ById>) -> Response {
    let held = routes.deployments.lock();
    let Some((request, phase)) = held.get(&id) else {
        return nothing();
    };
    let generation = request.resource_generation.unwrap_or_default();
    let is_ready = *phase == Phase::Ready;
    let status = DeploymentStatus {
        deployment_id: id.clone(),
        resource_type: request.resource_type,
        resource_name: request.resource_name.clone(),
        namespace: request.namespace.clone(),
        phase: *phase,
        resource_generation: generation,
        observed_generation: is_ready.then_some(generation),
        changes: None,
        spec: request.spec.clone(),
        message: None,
        error: None,
        endpoint: is_ready.then(|| "db.example".to_owned()),
        port: is_ready.then_some(5432),
        connection_secret: is_ready.then(|| format!("{}-connection", request.resource_name)),
    };
    Json(status).into_response()
}

impl Played {
    /// Listens.
    pub async fn start(port: u16, callback_url: Url) -> Result<Self, LoadError> {
        let key = SigningKey::from_seed(&[7; 32]);
        let routes = Routes {
            deployments: Arc::default(),
            key: key.public().to_string(),
        };
        let app = Router::new()
            .route("/", get(root))
            .route("/health", get(|| async { "ok" }))
            .route("/v1/provision", post(provision))
            .route("/v1/deprovision", post(deprovision))
            .route("/v1/status", get(status))
            .with_state(routes.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(LoadError::io("a port"))?;
        let server = tokio::spawn(async move {
            // Ends with the abort in `drop`.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self {
            deployments: routes.deployments,
            sender: Sender::new(key, NAMESPACE)?,
            callback_url,
            server,
        })
    }

    /// Makes a deployment ready and says so, and gives when that left.
    pub async fn announce(&self, id: &DeploymentId) -> Result<(String, Instant), LoadError> {
        let (request, _) = {
            let mut held = self.deployments.lock();
            let Some(entry) = held.get_mut(id) else {
                return Err(LoadError::answer("the operator", "no request for a deployment"));
            };
            entry.1 = Phase::Ready;
            entry.clone()
        };
        let now = jiff::Timestamp::now();
        let (kind, phase) = (request.resource_type, CallbackPhase::Ready);
        let name = request.resource_name;
        let mut callback = Callback::new(id.clone(), kind, &name, NAMESPACE, phase, now);
        callback.resource_generation = request.resource_generation;
        let began = Instant::now();
        let message = format!("msg-{}-{}", id, now.as_nanosecond());
        match self
            .sender
            .send_round(&self.callback_url, &message, &callback)
            .await
        {
            Outcome::Acknowledged => Ok((name, began)),
            other => Err(LoadError::answer("the operator", format!("{other:?}"))),
        }
    }
}

//! The callback receiver: `POST /v1/callback`.
//!
//! # Flow
//! Media type and size, then the signatures of the broker that the message names, under the key in that broker's
//! object and never one from the message; then repeats; then the body. What is left is a hint that makes the
//! operator read the broker again: nothing of the body reaches a status. Which trace the message belongs to is taken from
//! its headers once its signature holds, for the log.
//!
//! # Answers
//! | answer | when | the broker |
//! |---|---|---|
//! | 204 | noted, or a repeat, or older than what is known, or news of the end of what is gone | is done |
//! | 401 | no trusted signature; which part was wrong is not told | tries later: its key may not be known yet |
//! | 404 | no resource here has that deployment id | tries later, or drops it with the instance |
//! | 400, 413, 415, 422 | not a callback | is done: the same message would be refused again |
//! | 503 | this replica does not lead, or has no room | tries later |
//!
//! # Caveats
//! A repeat is remembered by the replica that saw it. After a change of leader it is acted upon again, which costs
//! one question to the broker.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use kidp_callback::{
    Callback, CallbackPhase, PayloadError, PublicKey, ReplayGuard, TrustedBroker, claimed_broker, verify,
};
use kidp_core::clock::Clock;
use kidp_core::crd::Broker;
use kidp_core::deployment::DeploymentId;
use kidp_core::mutation;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::wire::MAX_BODY_BYTES;
use kidp_telemetry::span;
use kube::ResourceExt;
use tokio::sync::{Semaphore, watch};
use tower_http::timeout::TimeoutLayer;
use tracing::Span;

use crate::cache::Caches;
use crate::kind::{AnyResource, ResourceKey};
use crate::metrics::Metrics;
use crate::queues::Queues;

/// Message ids that are remembered.
const REMEMBERED: usize = 16_384;

/// Messages that are read at once; each holds at most a body in memory.
const AT_ONCE: usize = 64;

/// Longest time that one message may take, its body included.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What the receiver needs.
#[derive(Clone)]
pub struct Receiver {
    caches: Caches,
    queues: Queues,
    leading: watch::Receiver<bool>,
    clock: Clock,
    guard: Arc<Mutex<ReplayGuard>>,
    places: Arc<Semaphore>,
    metrics: Metrics,
}

impl Receiver {
    /// A receiver that hints at `queues` while `leading`.
    pub fn new(caches: Caches, queues: Queues, leading: watch::Receiver<bool>) -> Self {
        let guard = Arc::new(Mutex::new(ReplayGuard::new(REMEMBERED)));
        Self {
            caches,
            queues,
            leading,
            clock: Clock::system(),
            guard,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            metrics: Metrics::default(),
        }
    }

    /// The same, counting in `metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// The same, by another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

/// The routes of the receiver.
pub fn app(receiver: Receiver) -> Router {
    Router::new()
        .route("/v1/callback", post(callback).fallback(wrong_method))
        .fallback(|| async { refuse(Problem::new(Reason::NotFound, "the only route is /v1/callback")) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(receiver.clone(), limit))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT))
        .with_state(receiver)
}

/// Turns messages away, before their bodies are read, while too many are being read.
async fn limit(State(receiver): State<Receiver>, request: Request, next: Next) -> Response {
    let Ok(_place) = receiver.places.try_acquire() else {
        let reason = Reason::Unavailable;
        receiver.metrics.called_back(reason.as_str());
        return refuse(Problem::new(reason, "too many callbacks at the moment"));
    };
    next.run(request).await
}

async fn wrong_method() -> Response {
    refuse(Problem::new(
        Reason::MethodNotAllowed,
        "only POST is answered here",
    ))
}

/// A problem as an answer.
pub(crate) fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(problem)).into_response()
}

async fn callback(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let now = receiver.clock.now();
    let taken = receive(&receiver, &headers, body, now);
    let refused = taken.as_ref().err().map(|problem| problem.error.as_str());
    receiver.metrics.called_back(refused.unwrap_or("accepted"));
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => refuse(problem),
    }
}

fn receive(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    now: Timestamp,
) -> Result<(), Problem> {
    if !*receiver.leading.borrow() {
        return Err(Problem::new(Reason::Unavailable, "this replica does not lead"));
    }
    if !is_json(headers) {
        return Err(Problem::new(
            Reason::UnsupportedMediaType,
            "content-type must be application/json",
        ));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::new(Reason::MalformedRequest, "the body could not be read"),
    })?;
    let body = if mutation::active("reserialised") {
        reserialised(body)
    } else {
        body
    };
    let (broker, id) = authenticate(receiver, headers, &body, now)?;
    let callback = Callback::parse(&body).map_err(|error| malformed(&error))?;
    // One broker cannot use up the ids of another's messages.
    let id = format!(
        "{}/{}/{id}",
        broker.namespace().unwrap_or_default(),
        broker.name_any()
    );
    if !receiver
        .guard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_first(&id, now)
    {
        return Ok(());
    }
    let handled = span_of(headers, &callback).in_scope(|| handle(receiver, &broker, &callback, now));
    if handled.is_err() {
        receiver
            .guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .forget(&id);
    }
    handled
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}

fn too_large() -> Problem {
    Problem::new(
        Reason::BodyTooLarge,
        format!("a callback is at most {MAX_BODY_BYTES} bytes"),
    )
}

fn malformed(error: &PayloadError) -> Problem {
    match error {
        PayloadError::TooLarge(_) => Problem::new(Reason::BodyTooLarge, error.to_string()),
        PayloadError::Malformed(_) => Problem::new(Reason::MalformedRequest, error.to_string()),
        PayloadError::TooLong { field, .. } => Problem::fields(
            Reason::InvalidField,
            vec![FieldError::new(*field, error.to_string())],
        ),
    }
}

/// The body as it would be written here: never what was signed, see [`mutation`].
fn reserialised(body: Bytes) -> Bytes {
    let again = Callback::parse(&body).and_then(|callback| callback.to_body());
    again.map_or(body, Bytes::from)
}

/// The broker that signed the message, and the message's id.
fn authenticate(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(Arc<Broker>, String), Problem> {
    let refused = || Problem::new(Reason::Unauthorized, "no registered broker's signature holds");
    let name = claimed_broker(headers).ok_or_else(refused)?;
    // Names are unique in a namespace only; every broker of that name may have signed it.
    for broker in receiver.caches.brokers.state_filter(|b| b.name_any() == name) {
        let keys = match offered(headers) {
            Some(key) => vec![key],
            None => trusted_keys(&broker, now),
        };
        let trusted = TrustedBroker { name, keys: &keys };
        match verify(headers, body, trusted, now) {
            Ok(verified) => return Ok((broker, verified.id)),
            Err(error) => tracing::debug!(broker = name, %error, "callback not believed"),
        }
    }
    Err(refused())
}

/// The keys that a broker's callbacks are believed under: the current one, and those before it that have not expired.
fn trusted_keys(broker: &Broker, now: Timestamp) -> Vec<PublicKey> {
    let Some(status) = &broker.status else {
        return Vec::new();
    };
    let previous = status
        .previous_callback_keys
        .iter()
        .filter(|previous| previous.expires_at.0 > now)
        .map(|previous| &previous.key);
    let keys = status.callback_public_key.iter().chain(previous);
    keys.filter_map(|text| PublicKey::parse(text).ok()).collect()
}

/// A key that the message brings along: believed by no receiver but one with that fault planted in it.
fn offered(headers: &HeaderMap) -> Option<PublicKey> {
    let value = headers
        .get("x-kidp-public-key")
        .filter(|_| mutation::active("key-from-header"))?;
    PublicKey::parse(value.to_str().ok()?).ok()
}

/// The span of a callback, in the trace that its broker names.
fn span_of(headers: &HeaderMap, callback: &Callback) -> Span {
    let (deployment, phase) = (callback.deployment_id.as_str(), callback.phase);
    let span =
        tracing::error_span!(target: span::TARGET, "callback", deployment, ?phase, otel.kind = "server");
    span::within(span, kidp_telemetry::headers::received(headers))
}

/// Finds the resource, fences by deployment and generation, and hints.
fn handle(receiver: &Receiver, broker: &Broker, callback: &Callback, now: Timestamp) -> Result<(), Problem> {
    let key = ResourceKey {
        kind: callback.resource_type,
        namespace: callback.namespace.clone(),
        name: callback.resource_name.clone(),
    };
    let found = receiver.caches.resource(&key);
    let found = found.filter(|resource| is_of(resource.as_ref(), broker, &callback.deployment_id));
    let Some(resource) = found else {
        if matches!(callback.phase, CallbackPhase::Deleting | CallbackPhase::Deleted) {
            return Ok(());
        }
        let fault = FieldError::new("deploymentId", "no resource here has this deployment");
        return Err(Problem::fields(Reason::NotFound, vec![fault]));
    };
    if callback
        .resource_generation
        .zip(resource.observed_generation())
        .is_some_and(|(told, known)| told < known)
    {
        return Ok(());
    }
    // Before the hint, since whoever follows it looks for this.
    receiver.metrics.heard(key.clone(), callback.time);
    if receiver.queues.hint(&key) {
        tracing::info!(deployment = %callback.deployment_id, phase = ?callback.phase, "callback received");
        receiver.metrics.accepted(callback.time, now);
        Ok(())
    } else {
        receiver.metrics.news(&key);
        Err(Problem::new(
            Reason::Unavailable,
            "no room for another callback at the moment",
        ))
    }
}

/// Whether the deployment is the one that this broker has for this resource. The id is derived rather than read,
/// since a callback can overtake the watch that brings the status.
fn is_of(resource: &dyn AnyResource, broker: &Broker, id: &DeploymentId) -> bool {
    let (name, namespace) = (broker.name_any(), broker.namespace().unwrap_or_default());
    let known = resource.deployment_at(&name);
    let elsewhere = resource.placed_at().is_some_and(|at| at != (namespace, name));
    !elsewhere && known.as_ref() == Some(id)
}

#[cfg(test)]
mod tests;

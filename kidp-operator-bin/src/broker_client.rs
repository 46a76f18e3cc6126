//! Typed client of a broker's HTTP API.
//!
//! Every exchange has a timeout, every answer a bound, and no redirect is followed. Errors tell what to do: wait
//! and try again, or stop because the same request would be refused again. They hold neither the token nor the
//! URL, so they can go into a log or a status.
//!
//! A broker that says for how long it wants to be left alone (429 with `Retry-After`) is: until then no client that shares
//! the [`Pause`] sends anything.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kidp_callback::http::{ExchangeError, Http};
use kidp_core::deployment::DeploymentId;
use kidp_core::problem::{Problem, Reason};
use kidp_core::trace::{self, TraceParent};
use kidp_core::wire::{
    Accepted, BrokerRoot, DeploymentStatus, DeprovisionRequest, ProvisionRequest, ResourceList, ResourceQuery,
};
use kidp_telemetry::span;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

use crate::metrics::Metrics;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Longest that a broker is left alone because it says so.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// A key or token that is sent, and never shown.
#[derive(Clone)]
pub struct Bearer(String);

impl Bearer {
    /// A key or token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// Until when a broker wants to be left alone. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<Mutex<Option<Instant>>>);

impl Pause {
    /// How long it still lasts.
    pub fn left(&self) -> Option<Duration> {
        let until = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    fn begin(&self, wait: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + wait);
    }
}

/// Why a broker's answer is none.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The endpoint in the `Broker` object is no base URL. Correct it there.
    #[error("its endpoint is not an http or https URL")]
    Endpoint,
    /// No connection, or it broke. Worth another try.
    #[error("it cannot be reached")]
    Unreachable(#[source] ExchangeError),
    /// No answer in time. Worth another try.
    #[error("it does not answer in time")]
    Timeout,
    /// The answer is larger than any broker's. Another try changes nothing by itself.
    #[error("its answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The answer is not in the contract: something else answers at that endpoint. Worth a slow retry.
    #[error("its answer (HTTP {0}) is not a broker's")]
    NotABroker(u16),
    /// It wants to be left alone for so long. Worth another try after that.
    #[error("it asks to wait for {} s", .0.as_secs_f32().ceil())]
    Busy(Duration),
    /// The broker refused, with its reason.
    #[error("it refuses: {0}")]
    Refused(#[source] Problem),
}

impl BrokerError {
    /// Whether the same request can succeed later without a change of the resource.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(problem) => !is_final(problem),
            _ => true,
        }
    }

    /// Whether the request may have come to the broker.
    pub const fn is_sent(&self) -> bool {
        !matches!(self, Self::Endpoint | Self::Unreachable(ExchangeError::Connect))
    }

    /// For a metric's label.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Endpoint => "invalid_endpoint",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::TooLarge | Self::NotABroker(_) => "not_a_broker",
            Self::Busy(_) => "busy",
            Self::Refused(problem) if problem.error.is_retryable() => "failed",
            Self::Refused(_) => "refused",
        }
    }

    /// How long the broker wants to be left alone.
    pub const fn busy(&self) -> Option<Duration> {
        match self {
            Self::Busy(wait) => Some(*wait),
            _ => None,
        }
    }
}

/// Whether the same request would be refused again until somebody changes the resource, or what the operator may do. That
/// the operator is not let in at all is no fault of the resource.
pub const fn is_final(problem: &Problem) -> bool {
    !problem.error.is_retryable() && !matches!(problem.error, Reason::Unauthorized)
}

/// One broker.
#[derive(Clone, Debug)]
pub struct BrokerClient {
    http: Http,
    base: Url,
    bearer: Option<Bearer>,
    pause: Pause,
    trace: Option<TraceParent>,
    metrics: Metrics,
}

/// The base URL of a broker, if it is one.
pub fn base_url(endpoint: &str) -> Result<Url, BrokerError> {
    let mut base = Url::parse(endpoint).map_err(|_| BrokerError::Endpoint)?;
    if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
        return Err(BrokerError::Endpoint);
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

impl BrokerClient {
    /// A client of the broker at `base`, which comes from [`base_url`].
    pub const fn new(http: Http, base: Url, bearer: Option<Bearer>, pause: Pause, metrics: Metrics) -> Self {
        Self {
            http,
            base,
            bearer,
            pause,
            trace: None,
            metrics,
        }
    }

    /// The same, for requests of this trace. Each says so, and which span it is sent from where there is one.
    #[must_use]
    pub fn within(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// Waits for an exchange, and notes how long it took and how it ended.
    async fn measured<T>(
        &self,
        route: &'static str,
        exchange: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let began = Instant::now();
        let answer = exchange.await;
        let outcome = answer.as_ref().map_or_else(BrokerError::outcome, |_| "ok");
        self.metrics.asked_broker(route, outcome, began.elapsed());
        answer
    }

    /// `GET /`.
    pub async fn root(&self, timeout: Duration) -> Result<BrokerRoot, BrokerError> {
        let exchange = async {
            let url = self.url("")?;
            self.json(self.send(Method::GET, url, None::<&()>, Some(timeout)).await?)
                .await
        };
        self.measured("root", exchange).await
    }

    /// Asks the health endpoint, a path or a whole URL; any success is healthy.
    pub async fn health(&self, endpoint: &str, timeout: Duration) -> Result<(), BrokerError> {
        let exchange = async {
            let url = self.url(endpoint)?;
            let answer = self.send(Method::GET, url, None::<&()>, Some(timeout)).await?;
            if answer.status().is_success() {
                return Ok(());
            }
            Err(self.refusal(answer).await)
        };
        self.measured("health", exchange).await
    }

    /// `GET /v1/status?id=`. `None` when the broker says, in its own words, that it has no such deployment.
    pub async fn status(&self, id: &DeploymentId) -> Result<Option<DeploymentStatus>, BrokerError> {
        let exchange = async {
            let mut url = self.url("v1/status")?;
            url.query_pairs_mut().append_pair("id", id.as_str());
            let answer = self.send(Method::GET, url, None::<&()>, None).await?;
            known(self.json(answer).await)
        };
        self.measured("status", exchange).await
    }

    /// `POST /v1/provision`.
    pub async fn provision(&self, request: &ProvisionRequest) -> Result<Accepted, BrokerError> {
        let exchange = async {
            let url = self.url("v1/provision")?;
            self.json(self.send(Method::POST, url, Some(request), None).await?)
                .await
        };
        self.measured("provision", exchange).await
    }

    /// `POST /v1/deprovision`. `None` when there is nothing to remove.
    pub async fn deprovision(&self, request: &DeprovisionRequest) -> Result<Option<Accepted>, BrokerError> {
        let exchange = async {
            let url = self.url("v1/deprovision")?;
            let answer = self.send(Method::POST, url, Some(request), None).await?;
            known(self.json(answer).await)
        };
        self.measured("deprovision", exchange).await
    }

    /// `POST /v1/resources`.
    pub async fn resources(&self, query: &ResourceQuery) -> Result<ResourceList, BrokerError> {
        let exchange = async {
            let url = self.url("v1/resources")?;
            self.json(self.send(Method::POST, url, Some(query), None).await?)
                .await
        };
        self.measured("resources", exchange).await
    }

    /// A path below the base, or a whole URL of the same origin: the key or token goes nowhere else.
    fn url(&self, path: &str) -> Result<Url, BrokerError> {
        let url = self
            .base
            .join(path.trim_start_matches('/'))
            .map_err(|_| BrokerError::Endpoint)?;
        Ok(url)
    }

    async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        url: Url,
        body: Option<&B>,
        timeout: Option<Duration>,
    ) -> Result<Response, BrokerError> {
        if let Some(left) = self.pause.left() {
            return Err(BrokerError::Busy(left));
        }
        let same_origin = url.origin() == self.base.origin();
        let mut request = self.http.request(method, url);
        if let Some(Bearer(text)) = self.bearer.as_ref().filter(|_| same_origin) {
            request = request.bearer_auth(text);
        }
        if let Some(at) = span::current().or(self.trace) {
            request = request.header(trace::HEADER, at.to_string());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        self.http.send(request).await.map_err(transport)
    }
}

/// An answer about a deployment; none where the broker says, in its own words, that it has no such deployment.
fn known<T>(answer: Result<T, BrokerError>) -> Result<Option<T>, BrokerError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(BrokerError::Refused(problem)) if problem.error == Reason::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn transport(error: ExchangeError) -> BrokerError {
    match error {
        ExchangeError::Timeout => BrokerError::Timeout,
        other => BrokerError::Unreachable(other),
    }
}

impl BrokerClient {
    async fn json<T: DeserializeOwned>(&self, answer: Response) -> Result<T, BrokerError> {
        let status = answer.status();
        if !status.is_success() {
            return Err(self.refusal(answer).await);
        }
        let body = bounded(answer).await?;
        serde_json::from_slice(&body).map_err(|_| BrokerError::NotABroker(status.as_u16()))
    }

    /// What an answer that is not a success means. A refusal without a [`Problem`] is not a broker's, except that a
    /// proxy in between may say that the broker is not there, or is asked too much.
    async fn refusal(&self, answer: Response) -> BrokerError {
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait = retry_after(answer.headers());
            self.pause.begin(wait);
            return BrokerError::Busy(wait);
        }
        let body = match bounded(answer).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => BrokerError::Refused(problem),
            Err(_) if is_gateway(status) => BrokerError::Refused(Problem::new(
                Reason::Unavailable,
                format!("HTTP {} in place of the broker", status.as_u16()),
            )),
            Err(_) => BrokerError::NotABroker(status.as_u16()),
        }
    }
}

/// How long to wait by an answer's `Retry-After`, within bounds; a second where it has none, or a date.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .unwrap_or(1);
    Duration::from_secs(seconds).clamp(Duration::from_secs(1), MAX_PAUSE)
}

fn is_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, BrokerError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| transport(error.into()))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(BrokerError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;

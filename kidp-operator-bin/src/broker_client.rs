//! Typed client of a broker's HTTP API.
//!
//! Every exchange has a timeout, every answer a bound, and no redirect is followed. Errors tell what to do: wait
//! and try again, or stop because the same request would be refused again. They hold neither the key nor the
//! URL, so they can go into a log or a status.

use std::time::Duration;

use kidp_core::deployment::DeploymentId;
use kidp_core::problem::{Problem, Reason};
use kidp_core::wire::{Accepted, BrokerRoot, DeploymentStatus, DeprovisionRequest, ProvisionRequest};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::Url;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A key that is sent, and never shown.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(..)")
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
    Unreachable(#[source] reqwest::Error),
    /// No answer in time. Worth another try.
    #[error("it does not answer in time")]
    Timeout,
    /// The answer is larger than any broker's. Another try changes nothing by itself.
    #[error("its answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The answer is not in the contract: something else answers at that endpoint. Worth a slow retry.
    #[error("its answer (HTTP {0}) is not a broker's")]
    NotABroker(u16),
    /// The broker refused, with its reason.
    #[error("it refuses: {0}")]
    Refused(#[source] Problem),
}

impl BrokerError {
    /// Whether the same request can succeed later without a change of the resource.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.error.is_retryable(),
            _ => true,
        }
    }
}

/// One broker.
#[derive(Clone, Debug)]
pub struct BrokerClient {
    http: reqwest::Client,
    base: Url,
    key: Option<ApiKey>,
}

impl BrokerClient {
    /// A client of the broker at `endpoint`, which must be an `http` or `https` URL.
    pub fn new(http: reqwest::Client, endpoint: &str, key: Option<ApiKey>) -> Result<Self, BrokerError> {
        let mut base = Url::parse(endpoint).map_err(|_| BrokerError::Endpoint)?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(BrokerError::Endpoint);
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { http, base, key })
    }

    /// `GET /`.
    pub async fn root(&self, timeout: Duration) -> Result<BrokerRoot, BrokerError> {
        let url = self.url("")?;
        json(self.send(Method::GET, url, None::<&()>, Some(timeout)).await?).await
    }

    /// Asks the health endpoint, a path or a whole URL; any success is healthy.
    pub async fn health(&self, endpoint: &str, timeout: Duration) -> Result<(), BrokerError> {
        let url = self.url(endpoint)?;
        let answer = self.send(Method::GET, url, None::<&()>, Some(timeout)).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(refusal(answer).await)
    }

    /// `GET /v1/status?id=`. `None` when the broker says, in its own words, that it has no such deployment.
    pub async fn status(&self, id: &DeploymentId) -> Result<Option<DeploymentStatus>, BrokerError> {
        let mut url = self.url("v1/status")?;
        url.query_pairs_mut().append_pair("id", id.as_str());
        match json(self.send(Method::GET, url, None::<&()>, None).await?).await {
            Ok(status) => Ok(Some(status)),
            Err(BrokerError::Refused(problem)) if problem.error == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `POST /v1/provision`.
    pub async fn provision(&self, request: &ProvisionRequest) -> Result<Accepted, BrokerError> {
        let url = self.url("v1/provision")?;
        json(self.send(Method::POST, url, Some(request), None).await?).await
    }

    /// `POST /v1/deprovision`. `None` when there is nothing to remove.
    pub async fn deprovision(&self, request: &DeprovisionRequest) -> Result<Option<Accepted>, BrokerError> {
        let url = self.url("v1/deprovision")?;
        match json(self.send(Method::POST, url, Some(request), None).await?).await {
            Ok(accepted) => Ok(Some(accepted)),
            Err(BrokerError::Refused(problem)) if problem.error == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A path below the base, or a whole URL of the same origin: the key goes nowhere else.
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
        let same_origin = url.origin() == self.base.origin();
        let mut request = self.http.request(method, url);
        if let Some(ApiKey(key)) = self.key.as_ref().filter(|_| same_origin) {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(transport)
    }
}

fn transport(error: reqwest::Error) -> BrokerError {
    if error.is_timeout() {
        BrokerError::Timeout
    } else {
        BrokerError::Unreachable(error.without_url())
    }
}

async fn json<T: DeserializeOwned>(answer: Response) -> Result<T, BrokerError> {
    let status = answer.status();
    if !status.is_success() {
        return Err(refusal(answer).await);
    }
    let body = bounded(answer).await?;
    serde_json::from_slice(&body).map_err(|_| BrokerError::NotABroker(status.as_u16()))
}

/// What an answer that is not a success means. A refusal without a [`Problem`] is not a broker's, except that a
/// proxy in between may say that the broker is not there.
async fn refusal(answer: Response) -> BrokerError {
    let status = answer.status();
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

fn is_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, BrokerError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(BrokerError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;

//! Sending: one round of attempts at one callback, and the pause before the next round.
//!
//! # Flow
//! The body is serialised once. Each attempt is signed with a fresh timestamp and the same id, so that a slow
//! round stays inside the receiver's window and a repeat is recognised. Three attempts make a round, 1 s and
//! 2 s apart; the pause after it starts at 4 s and doubles to 5 min ([`backoff`]).
//!
//! # Caveats
//! Of an answer only the status is read: its body is neither logged nor kept. A redirect is not followed and
//! counts as no answer.

use std::time::Duration;

use kidp_core::clock::Clock;
use kidp_core::trace::{self, TraceParent};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::http::{self, ClientError, Http};
use crate::payload::Callback;
use crate::resolve::GuardedResolver;
use crate::ring::KeyRing;
use crate::signing::sign_with;

/// Longest that one attempt takes.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between the attempts of a round.
pub const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

const FIRST_BACKOFF: Duration = Duration::from_secs(4);
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Acknowledged,
    /// The receiver refused it; the same message would be refused again. Carries the HTTP status.
    Rejected(u16),
    /// No usable answer. Try another round later.
    Unreachable(String),
}

impl Outcome {
    /// Whether another round could still be acknowledged: the receiver was not reached, or it may come to know
    /// the sender's key (401, 403) or the resource (404) a moment later.
    pub const fn may_succeed_later(&self) -> bool {
        match self {
            Self::Acknowledged => false,
            Self::Rejected(status) => matches!(status, 401 | 403 | 404 | 409),
            Self::Unreachable(_) => true,
        }
    }
}

/// Sends callbacks in the name of one broker.
#[derive(Clone, Debug)]
pub struct Sender {
    http: Http,
    clock: Clock,
    keys: KeyRing,
    broker_name: String,
    pauses: [Duration; 2],
}

impl Sender {
    /// A sender that signs with `keys` in the name of `broker_name`.
    pub fn new(keys: impl Into<KeyRing>, broker_name: impl Into<String>) -> Result<Self, ClientError> {
        let http = http::guarded(ATTEMPT_TIMEOUT, GuardedResolver::system(), None)?.into();
        Ok(Self::over(http, Clock::system(), keys, broker_name))
    }

    /// The same, over `http` and by `clock`.
    pub fn over(http: Http, clock: Clock, keys: impl Into<KeyRing>, broker_name: impl Into<String>) -> Self {
        Self {
            http,
            clock,
            keys: keys.into(),
            broker_name: broker_name.into(),
            pauses: PAUSES,
        }
    }

    /// The clock that it signs by.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The same, trusting the authorities of `pem` and no other.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, ClientError> {
        self.http = http::guarded(ATTEMPT_TIMEOUT, GuardedResolver::system(), Some(pem))?.into();
        Ok(self)
    }

    /// Other pauses and another limit for one attempt, for tests.
    #[cfg(test)]
    pub(crate) fn with_timing(mut self, pauses: [Duration; 2], timeout: Duration) -> Self {
        self.pauses = pauses;
        if let Ok(client) = http::client(timeout) {
            self.http = client.into();
        }
        self
    }

    /// Attempts to deliver `callback`, up to three times. `id` names the message, and is the same in every
    /// round; `url` has passed [`crate::UrlPolicy`].
    pub async fn send_round(&self, url: &Url, id: &str, callback: &Callback) -> Outcome {
        self.send_round_within(None, url, id, callback).await
    }

    /// The same, saying to which trace it belongs. The header for that is not signed: it is a hint for logs, and nothing
    /// that the receiver decides by.
    pub async fn send_round_within(
        &self,
        trace: Option<TraceParent>,
        url: &Url,
        id: &str,
        callback: &Callback,
    ) -> Outcome {
        let body = match callback.to_body() {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, id, "callback cannot be serialised");
                return Outcome::Rejected(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
            }
        };
        let mut outcome = self.attempt(trace, url, id, &body).await;
        for pause in self.pauses {
            if !matches!(outcome, Outcome::Unreachable(_)) {
                break;
            }
            tokio::time::sleep(pause).await;
            outcome = self.attempt(trace, url, id, &body).await;
        }
        outcome
    }

    async fn attempt(&self, trace: Option<TraceParent>, url: &Url, id: &str, body: &[u8]) -> Outcome {
        let headers = match sign_with(&self.keys.all(), &self.broker_name, id, self.clock.now(), body) {
            Ok(headers) => headers,
            Err(error) => {
                tracing::error!(%error, id, "callback cannot be signed");
                return Outcome::Rejected(StatusCode::BAD_REQUEST.as_u16());
            }
        };
        let mut request = self
            .http
            .request(Method::POST, url.clone())
            .headers(headers)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body.to_vec());
        if let Some(trace) = trace {
            request = request.header(trace::HEADER, trace.to_string());
        }
        match self.http.send(request).await {
            Ok(response) => judge(response.status()),
            Err(error) => Outcome::Unreachable(error.to_string()),
        }
    }
}

fn judge(status: StatusCode) -> Outcome {
    let transient = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if status.is_success() {
        Outcome::Acknowledged
    } else if status.is_client_error() && !transient.contains(&status) {
        Outcome::Rejected(status.as_u16())
    } else {
        Outcome::Unreachable(format!("answered {status}"))
    }
}

/// The pause before the next round, after `rounds` of them: 4 s, doubling to 5 min, plus up to a quarter by
/// `jitter` (0 to 1), so that a fleet does not return in one moment.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(kidp_callback::backoff(1, 0.0), Duration::from_secs(4));
/// assert_eq!(kidp_callback::backoff(2, 0.0), Duration::from_secs(8));
/// assert_eq!(kidp_callback::backoff(99, 1.0), Duration::from_secs(375));
/// ```
pub fn backoff(rounds: u32, jitter: f64) -> Duration {
    let doublings = rounds.saturating_sub(1).min(16);
    let pause = FIRST_BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF);
    pause + pause.mul_f64(jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests;

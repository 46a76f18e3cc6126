//! Tokens of service accounts of the broker's own cluster, which its API server judges (`TokenReview`).
//!
//! # Guarantees
//! - A token counts only if the API server says that it is authentic *for the audience that is configured*: one made
//!   for the API server itself, or for another service, is refused.
//! - Verdicts are kept under the token's SHA-256, in a bounded cache: a good one for at most a minute and never
//!   past the token's own end, a bad one for a few seconds. So a revoked token is good for a minute at the most.
//! - When the API server cannot be asked nobody is let in who was not asked about before: 503, and worth another try.
//!
//! What cannot be a service account's token by its form is refused without asking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kidp_core::problem::{Problem, Reason};
use kube::api::PostParams;
use kube::{Api, Client};
use moka::Expiry;
use moka::future::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::unauthorized;

/// Most verdicts that are kept.
const MAX_KEPT: u64 = 4096;
/// Longest that a good verdict is kept.
const KEEP_GOOD: Duration = Duration::from_mins(1);
/// Longest that a bad verdict is kept.
const KEEP_BAD: Duration = Duration::from_secs(5);
/// Most reviews at once; more wait their turn.
const AT_ONCE: usize = 16;
/// Longest that a review takes, with the wait for its turn.
const LIMIT: Duration = Duration::from_secs(3);
/// What the API server calls a service account, before its namespace and name.
const PREFIX: &str = "system:serviceaccount:";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Good { name: Arc<str>, keep: Duration },
    Bad,
}

struct Keep;

impl Expiry<[u8; 32], Verdict> for Keep {
    fn expire_after_create(&self, _: &[u8; 32], verdict: &Verdict, _: Instant) -> Option<Duration> {
        Some(match verdict {
            Verdict::Good { keep, .. } => *keep,
            Verdict::Bad => KEEP_BAD,
        })
    }
}

/// Asks the API server about tokens.
pub struct TokenReviewer {
    reviews: Api<TokenReview>,
    audience: String,
    verdicts: Cache<[u8; 32], Verdict>,
    turns: Semaphore,
    limit: Duration,
}

impl TokenReviewer {
    /// Takes tokens for `audience`.
    pub fn new(client: Client, audience: impl Into<String>) -> Self {
        Self {
            reviews: Api::all(client),
            audience: audience.into(),
            verdicts: Cache::builder().max_capacity(MAX_KEPT).expire_after(Keep).build(),
            turns: Semaphore::new(AT_ONCE),
            limit: LIMIT,
        }
    }

    /// The same with another limit.
    #[cfg(test)]
    fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whose token this is.
    pub async fn owner(&self, token: &str) -> Result<Arc<str>, Problem> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        // Several requests with one token that is not known yet are one question.
        let verdict = self.verdicts.try_get_with(hash, self.ask(token)).await;
        match verdict {
            Ok(Verdict::Good { name, .. }) => Ok(name),
            Ok(Verdict::Bad) => Err(unauthorized()),
            Err(problem) => Err(Problem::clone(&problem)),
        }
    }

    async fn ask(&self, token: &str) -> Result<Verdict, Problem> {
        let unavailable = || {
            let say = "the cluster cannot be asked about the token; try again";
            Problem::new(Reason::Unavailable, say)
        };
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let answer = async {
            let _turn = self.turns.acquire().await;
            self.reviews.create(&PostParams::default(), &review).await
        };
        match tokio::time::timeout(self.limit, answer).await {
            Ok(Ok(answer)) => {
                let status = answer.status.unwrap_or_default();
                Ok(judge(&self.audience, &status, lifetime(token, Timestamp::now())))
            }
            // The error cannot quote the request, which holds the token.
            Ok(Err(kube::Error::Api(status))) => {
                tracing::warn!(
                    code = status.code,
                    reason = status.reason,
                    "a token review was refused"
                );
                Err(unavailable())
            }
            Ok(Err(_)) => {
                tracing::warn!("the API server cannot be asked about a token");
                Err(unavailable())
            }
            Err(_) => {
                tracing::warn!("the API server does not answer a token review in time");
                Err(unavailable())
            }
        }
    }
}

/// What the API server's answer means. An API server that does not know audiences returns none, and is not believed.
fn judge(audience: &str, status: &TokenReviewStatus, lifetime: Option<Duration>) -> Verdict {
    let for_us = status.audiences.iter().flatten().any(|a| a == audience);
    let name = status.user.as_ref().and_then(|user| user.username.as_deref());
    match name {
        Some(name) if status.authenticated == Some(true) && for_us && name.starts_with(PREFIX) => {
            Verdict::Good {
                name: name.into(),
                keep: lifetime.unwrap_or(KEEP_GOOD).min(KEEP_GOOD),
            }
        }
        _ => Verdict::Bad,
    }
}

#[derive(Deserialize)]
struct End {
    exp: i64,
}

/// How long the token says that it is still good. Only ever shortens what the API server has confirmed.
fn lifetime(token: &str, now: Timestamp) -> Option<Duration> {
    let End { exp } = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    let seconds = exp.saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests;

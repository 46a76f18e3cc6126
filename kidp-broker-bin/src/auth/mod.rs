//! The broker's front door: who asks ([`Authenticator`]), how often ([`RateLimits`]), and what they may do
//! ([`policy`]).
//!
//! Each way to authenticate is off unless it is configured, and several may be on at once. With none, nobody is asked
//! who they are, and the network is the boundary. A request that presents a key or a token is judged by that alone, even
//! where it came with a client certificate. What fails is refused; nothing falls back to less.

pub mod api_keys;
mod caller;
pub mod certificate;
pub mod identity;
pub mod jwks;
pub mod policy;
pub mod setup;
pub mod token_review;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kidp_core::problem::{Problem, Reason};

pub use caller::Caller;

use crate::Broker;
use crate::audit;
use crate::error::{ApiError, too_many};
use crate::metrics::Metrics;
use crate::rate_limit::{Limit, NO_ADDRESS, RateLimits};
use crate::reload::Live;
use api_keys::ApiKeys;
use identity::{Identity, Method};
use jwks::JwtIssuer;
use policy::Policy;
use token_review::TokenReviewer;

/// Longest token or key that is looked at.
const MAX_CREDENTIAL: usize = 8 * 1024;

/// The connection that a request came over.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its other end.
    pub address: SocketAddr,
    /// The name in the client certificate, where there was one; TLS has verified it.
    pub certificate: Option<Arc<str>>,
}

/// The ways to authenticate.
#[derive(Default)]
pub struct Authenticator {
    /// API keys.
    pub keys: Option<Live<ApiKeys>>,
    /// Tokens of the broker's own cluster.
    pub tokens: Option<TokenReviewer>,
    /// Tokens of another issuer.
    pub issuer: Option<JwtIssuer>,
    /// Client certificates.
    pub certificates: bool,
}

/// The front door.
pub struct Access {
    /// The ways to authenticate.
    pub authenticator: Authenticator,
    /// Who may do what.
    pub policy: Option<Live<Policy>>,
    /// How often.
    pub limits: RateLimits,
}

impl Authenticator {
    /// Whether nobody is asked who they are.
    pub fn is_open(&self) -> bool {
        self.keys.is_none() && self.tokens.is_none() && self.issuer.is_none() && !self.certificates
    }

    /// Who sent these headers over this connection.
    async fn identify(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Identity, Problem> {
        if let Some(credential) = presented(headers) {
            return self.owner(credential?).await;
        }
        let certificate = peer.and_then(|peer| peer.certificate.clone());
        match certificate.filter(|_| self.certificates) {
            Some(name) => Ok(Identity::new(Method::Certificate, name)),
            None => Err(unauthorized()),
        }
    }

    async fn owner(&self, credential: Credential<'_>) -> Result<Identity, Problem> {
        let known = |key: &str| {
            let keys = self.keys.as_ref()?.current();
            let name = keys.owner(key)?;
            Some(Identity::new(Method::ApiKey, name))
        };
        match credential {
            Credential::ApiKey(key) => known(key).ok_or_else(unauthorized),
            // The name is who the client says it is, and the key has to be that client's.
            Credential::Basic { name, key } => known(&key)
                .filter(|owner| *owner.name == *name)
                .ok_or_else(unauthorized),
            Credential::Bearer(text) => match known(text) {
                Some(identity) => Ok(identity),
                None => self.token_owner(text).await,
            },
        }
    }

    async fn token_owner(&self, token: &str) -> Result<Identity, Problem> {
        if !is_jwt(token) {
            return Err(unauthorized());
        }
        match (&self.issuer, &self.tokens) {
            (Some(issuer), _) if issuer.claims(token) => Ok(Identity::new(Method::Jwt, issuer.owner(token)?)),
            (_, Some(tokens)) => Ok(Identity::new(Method::ServiceAccount, tokens.owner(token).await?)),
            _ => Err(unauthorized()),
        }
    }
}

enum Credential<'a> {
    Bearer(&'a str),
    ApiKey(&'a str),
    Basic { name: String, key: String },
}

/// What a request presents; an error where that can be nothing that is known here.
fn presented(headers: &HeaderMap) -> Option<Result<Credential<'_>, Problem>> {
    let (value, authorization) = match headers.get(AUTHORIZATION) {
        Some(value) => (value, true),
        None => (headers.get("x-api-key")?, false),
    };
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_CREDENTIAL);
    let credential = text.and_then(|text| {
        if authorization {
            authorized_as(text)
        } else {
            Some(Credential::ApiKey(text))
        }
    });
    Some(credential.ok_or_else(unauthorized))
}

/// The credential in an `Authorization` header.
fn authorized_as(text: &str) -> Option<Credential<'_>> {
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential::Bearer(rest));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (name, key) = pair.split_once(':')?;
    Some(Credential::Basic {
        name: name.to_owned(),
        key: key.to_owned(),
    })
}

/// Whether a text has the form of a signed token, so that nobody is asked about what cannot be one.
fn is_jwt(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.split('.').count() == 3 && text.split('.').all(is_part)
}

/// The one refusal of everything that does not prove who the client is: it does not say what was wrong.
pub(crate) fn unauthorized() -> Problem {
    let say = "authenticate: a valid token or API key as `Authorization: Bearer`, an API key as `X-API-Key` or, with its \
        name, as `Authorization: Basic`, or a client certificate, whichever this broker takes";
    Problem::new(Reason::Unauthorized, say)
}

/// Lets a request pass whose client is known and has not asked too often.
pub async fn require(State(broker): State<Arc<Broker>>, mut request: Request, next: Next) -> Response {
    let (headers, extensions) = (request.headers(), request.extensions());
    match enter(&broker.access, &broker.metrics, headers, extensions).await {
        Ok(identity) => {
            if let Some(entry) = request.extensions().get::<audit::Entry>() {
                entry.client(&identity);
            }
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(response) => response,
    }
}

async fn enter(
    access: &Access,
    metrics: &Metrics,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Identity, Response> {
    let peer = extensions.get::<Peer>();
    let address: IpAddr = peer.map_or(NO_ADDRESS, |peer| peer.address.ip());
    let limits = &access.limits;
    let slow_down = |limit, wait| {
        metrics.rate_limited(limit);
        too_many("too many requests", wait)
    };
    if access.authenticator.is_open() {
        limits
            .peer(address)
            .map_err(|wait| slow_down(Limit::Address, wait))?;
        return Ok(Identity::anonymous());
    }
    let tried_out = |wait| {
        metrics.rate_limited(Limit::Authentication);
        too_many("too many attempts to authenticate", wait)
    };
    limits.may_try(address).map_err(tried_out)?;
    match access.authenticator.identify(headers, peer).await {
        Ok(identity) => {
            let own = access
                .policy
                .as_ref()
                .and_then(|policy| policy.current().requests_per_minute(&identity));
            limits.client(&identity, own).map_err(|wait| {
                if let Some(entry) = extensions.get::<audit::Entry>() {
                    entry.client(&identity);
                }
                slow_down(Limit::Client, wait)
            })?;
            Ok(identity)
        }
        Err(problem) if problem.error == Reason::Unauthorized => {
            limits.failed(address).map_err(tried_out)?;
            Err(ApiError(problem).into_response())
        }
        Err(problem) => Err(ApiError(problem).into_response()),
    }
}

#[cfg(test)]
mod tests;

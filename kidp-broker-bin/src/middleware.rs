//! What every request passes: an id, a span, a log line, a place among those in flight, a time limit.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kidp_core::problem::{Problem, Reason};
use kidp_telemetry::{headers, span};
use tracing::{Instrument as _, Span};

use crate::Broker;
use crate::error::ApiError;
use crate::rate_limit::Limit;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID: usize = 64;

/// The id of a request.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub String);

/// Gives the request its id, the client's own where it is usable, and logs and counts the outcome. Never the body.
pub async fn observe(State(broker): State<Arc<Broker>>, mut request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|value| is_usable(value))
        .cloned()
        .unwrap_or_else(fresh_id);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let text = id.to_str().unwrap_or_default();
    let span = span_of(&request, text);
    request.extensions_mut().insert(RequestId(text.to_owned()));
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = started.elapsed();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = response.status();
    let route = route.as_ref().map(MatchedPath::as_str);
    span.in_scope(|| {
        broker.metrics.answered(route, status.as_u16(), took);
        if status.is_server_error() {
            tracing::warn!(%method, path, status = status.as_u16(), ms, "answered");
        } else {
            tracing::debug!(%method, path, status = status.as_u16(), ms, "answered");
        }
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The span of a request, in its client's trace. One that only reads and comes without a trace begins none: probes would
/// begin one every few seconds.
fn span_of(request: &Request, id: &str) -> Span {
    let parent = headers::received(request.headers());
    let (method, path) = (request.method(), request.uri().path());
    if parent.is_none() && matches!(*method, Method::GET | Method::HEAD) {
        return tracing::info_span!("request", id);
    }
    let span = tracing::error_span!(target: span::TARGET, "request", id, %method, path, otel.kind = "server");
    span::within(span, parent)
}

fn is_usable(id: &HeaderValue) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_ID).contains(&id.len()) && id.as_bytes().iter().all(allowed)
}

fn fresh_id() -> HeaderValue {
    let id = format!("{:032x}", rand::random::<u128>());
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Refuses a request at once while too many are in flight, and gives up on one that takes too long.
pub async fn bound(State(broker): State<Arc<Broker>>, request: Request, next: Next) -> Response {
    let Ok(_place) = broker.in_flight.try_acquire() else {
        broker.metrics.rate_limited(Limit::InFlight);
        let say = "too many requests are in flight; try again";
        return ApiError(Problem::new(Reason::TooManyRequests, say)).into_response();
    };
    let limit = broker.request_timeout;
    let late = |_| {
        let say = format!("no answer within {} s; try again", limit.as_secs());
        ApiError(Problem::new(Reason::Timeout, say)).into_response()
    };
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_confuse_a_log_are_replaced() {
        assert!(is_usable(&HeaderValue::from_static("abc-1_2.3")));
        assert!(!is_usable(&HeaderValue::from_static("a b")));
        assert!(!is_usable(&HeaderValue::from_static("")));
        assert!(!is_usable(&HeaderValue::from_str(&"x".repeat(65)).unwrap()));
        assert!(is_usable(&fresh_id()));
    }
}

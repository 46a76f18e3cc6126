//! Refusals as HTTP answers, and errors of the cluster as refusals.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kidp_core::problem::{FieldError, Problem, Reason};

use crate::rate_limit::Wait;

/// A refusal on its way to a client.
#[derive(Debug)]
pub struct ApiError(pub Problem);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = self.0.error;
        let problem = self.0;
        let mut response = (status, Json(&problem)).into_response();
        if reason.is_retryable() {
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        if reason == Reason::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        // For the audit log, which does not read bodies.
        response.extensions_mut().insert(reason);
        // For a layer that says it in another API's terms.
        response.extensions_mut().insert(problem);
        response
    }
}

/// The refusal of a client that is to wait.
pub fn too_many(say: &str, wait: Wait) -> Response {
    let seconds = wait.seconds();
    let say = format!("{say}; wait {seconds} s");
    let mut response = ApiError(Problem::new(Reason::TooManyRequests, say)).into_response();
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// What an error of the API server means to a client of the broker. The cause goes to the log, not the client.
pub fn from_kube(doing: &str, error: &kube::Error) -> Problem {
    let kube::Error::Api(status) = error else {
        tracing::warn!(%error, doing, "the API server does not answer");
        return Problem::new(Reason::Unavailable, "the cluster does not answer; try again");
    };
    let details = status.details.as_ref();
    if status.is_not_found() && details.is_some_and(|d| d.kind == "namespaces") {
        return namespace("does not exist in this broker's cluster");
    }
    if status.is_forbidden() && status.message.contains("being terminated") {
        return namespace("is being deleted");
    }
    if status.is_invalid() {
        let causes = details.map(|d| d.causes.as_slice()).unwrap_or_default();
        let fields = causes
            .iter()
            .map(|c| FieldError::new(contract_path(&c.field), &c.message));
        return Problem::fields(Reason::InvalidField, fields.collect());
    }
    tracing::warn!(
        code = status.code,
        reason = status.reason,
        message = status.message,
        doing,
        "the API server refuses"
    );
    match status.code {
        409 => Problem::new(Reason::Unavailable, "the record changed meanwhile; try again"),
        429 | 500.. => Problem::new(
            Reason::Unavailable,
            "the cluster is not able to answer; try again",
        ),
        _ => Problem::new(
            Reason::Internal,
            format!("the cluster refused the broker while {doing}; the broker's log says why"),
        ),
    }
}

fn namespace(message: &str) -> Problem {
    Problem::fields(Reason::InvalidField, vec![FieldError::new("namespace", message)])
}

/// The record's field as the client wrote it: `spec.instance` of a record is `spec` of a request.
fn contract_path(field: &str) -> String {
    match field.strip_prefix("spec.instance") {
        Some(rest) => format!("spec{rest}"),
        None => field.strip_prefix("spec.").unwrap_or(field).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: serde_json::Value) -> Problem {
        from_kube(
            "testing",
            &kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())),
        )
    }

    #[test]
    fn a_missing_namespace_is_the_clients_field() {
        let problem = api(serde_json::json!({"code": 404, "reason": "NotFound",
            "message": "namespaces \"x\" not found", "details": {"kind": "namespaces", "name": "x"}}));
        assert_eq!(
            (problem.code, problem.details[0].field.as_str()),
            (422, "namespace")
        );
    }

    #[test]
    fn a_rule_of_the_record_is_told_by_the_requests_field() {
        let problem = api(
            serde_json::json!({"code": 422, "reason": "Invalid", "message": "",
            "details": {"causes": [{"field": "spec.instance.version", "message": "bad"}]}}),
        );
        assert_eq!(
            (problem.code, problem.details[0].field.as_str()),
            (422, "spec.version")
        );
        assert_eq!(contract_path("spec.resourceName"), "resourceName");
    }

    #[test]
    fn what_passes_is_retryable_and_what_does_not_is_told_apart() {
        for (code, retryable) in [
            (409, true),
            (429, true),
            (500, true),
            (503, true),
            (403, true),
            (405, true),
        ] {
            let problem = api(serde_json::json!({"code": code, "reason": "", "message": "secret detail"}));
            assert_eq!(problem.error.is_retryable(), retryable, "{code}");
            assert!(!problem.message.contains("secret detail"));
        }
    }
}

//! Reading of requests: bounded, strict, and every refusal names the field.

use std::convert::Infallible;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use kidp_core::names::validate_label;
use kidp_core::problem::{FieldError, Problem, Reason};
use kidp_core::trace::TraceParent;
use kidp_core::wire::MAX_BODY_BYTES;
use kidp_telemetry::{headers, span};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let say = "the content type must be application/json";
            return Err(Problem::new(Reason::UnsupportedMediaType, say).into());
        }
        let body = read(request).await?;
        Ok(Self(from_json(&body)?))
    }
}

/// The query of a URL.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(from_query(parts.uri.query().unwrap_or_default())?))
    }
}

/// Where a request is in a trace: in the span that is made for it, or where its client says.
#[derive(Clone, Copy, Debug)]
pub struct Trace(pub Option<TraceParent>);

impl<S: Send + Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(
            span::current().or_else(|| headers::received(&parts.headers)),
        ))
    }
}

/// The parts of a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(ids)) => Ok(Self(ids)),
            Err(rejection) => Err(Problem::new(
                Reason::MalformedRequest,
                format!("the path: {}", rejection.body_text()),
            )
            .into()),
        }
    }
}

/// Refuses a namespace that is no name: it becomes part of a path.
pub fn check_namespace(namespace: Option<&str>) -> Result<(), Problem> {
    match namespace.map(validate_label) {
        Some(Err(error)) => {
            let fault = FieldError::new("namespace", error.to_string());
            Err(Problem::fields(Reason::InvalidField, vec![fault]))
        }
        _ => Ok(()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            Reason::BodyTooLarge,
            format!("a body is at most {MAX_BODY_BYTES} bytes"),
        )
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    // One byte more than allowed tells a body that is too long from one that broke off.
    match to_bytes(request.into_body(), MAX_BODY_BYTES).await {
        Ok(body) => Ok(body),
        Err(_) if announced.is_none() => Err(too_large()),
        Err(_) => Err(Problem::new(Reason::MalformedRequest, "the body broke off")),
    }
}

/// Reads JSON; the path of what is wrong is in the refusal.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| malformed(&error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| malformed(".", &error))?;
    Ok(value)
}

fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if fields
            .insert(name.to_string(), Value::String(value.into_owned()))
            .is_some()
        {
            let fault = FieldError::new(name, "is given twice");
            return Err(Problem::fields(Reason::MalformedRequest, vec![fault]));
        }
    }
    serde_path_to_error::deserialize(Value::Object(fields))
        .map_err(|error| malformed(&error.path().to_string(), error.inner()))
}

fn malformed(path: &str, error: &serde_json::Error) -> Problem {
    let say = error.to_string();
    if error.is_syntax() || error.is_eof() {
        return Problem::new(Reason::MalformedRequest, format!("the body is not JSON: {say}"));
    }
    let field = field_of(path, &say, "body");
    Problem::fields(Reason::MalformedRequest, vec![FieldError::new(field, say)])
}

/// The field that an error of `serde_path_to_error` speaks of; `whole` where it speaks of all of the input.
pub(crate) fn field_of(path: &str, say: &str, whole: &str) -> String {
    // `?` is a place that the parser did not come to know.
    let path = if matches!(path, "." | "?") { "" } else { path };
    match absent_or_unknown(say) {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None if path.is_empty() => whole.to_owned(),
        None => path.to_owned(),
    }
}

/// The name in serde's "missing field `x`" and "unknown field `x`", which are errors of the object around it.
fn absent_or_unknown(say: &str) -> Option<&str> {
    let rest = say
        .strip_prefix("missing field `")
        .or_else(|| say.strip_prefix("unknown field `"))?;
    rest.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidp_core::wire::{ProvisionRequest, ResourceQuery};
    use proptest::prelude::*;

    fn request() -> Value {
        serde_json::json!({"resourceType": "Database", "resourceName": "orders", "namespace": "shop",
            "team": "payments", "spec": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}})
    }

    fn field(change: impl FnOnce(&mut Value)) -> String {
        let mut value = request();
        change(&mut value);
        let problem = from_json::<ProvisionRequest>(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(problem.code, 400);
        problem.details[0].field.clone()
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(field(|v| v["surprise"] = 1.into()), "surprise");
        assert_eq!(field(|v| v["spec"]["surprise"] = 1.into()), "spec.surprise");
        assert_eq!(
            field(|v| v["spec"]["storage"]["size"] = 1.into()),
            "spec.storage.size"
        );
        assert_eq!(
            field(|v| v["spec"]["storage"] = serde_json::json!({})),
            "spec.storage.size"
        );
        assert_eq!(field(|v| v["spec"]["engine"] = "oracle".into()), "spec.engine");
        assert_eq!(field(|v| v["spec"]["size"] = "huge".into()), "spec.size");
        assert_eq!(field(|v| v["namespace"] = Value::Null), "namespace");
        assert_eq!(
            field(|v| v["owner"] = serde_json::json!({"kind": "King", "name": "x"})),
            "owner.kind"
        );
        assert_eq!(field(|v| *v = serde_json::json!([])), "body");
        assert_eq!(field(|v| *v = serde_json::json!({})), "resourceType");
    }

    #[test]
    fn what_is_not_json_has_no_field() {
        for body in ["", "{", "{\"namespace\":}", "nonsense"] {
            let problem = from_json::<ProvisionRequest>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.code, problem.details.len()), (400, 0), "{body}");
        }
        let twice = format!("{}{}", request(), request());
        assert!(from_json::<ProvisionRequest>(twice.as_bytes()).is_err());
    }

    #[test]
    fn queries_are_as_strict_as_bodies() {
        let query: ResourceQuery = from_query("namespace=a%20b&resourceType=database").unwrap();
        assert_eq!(query.namespace.as_deref(), Some("a b"));
        for (text, field) in [
            ("nope=1", "nope"),
            ("resourceType=x", "resourceType"),
            ("namespace=a&namespace=b", "namespace"),
            ("deploymentId=x", "deploymentId"),
        ] {
            let problem = from_query::<ResourceQuery>(text).unwrap_err();
            assert_eq!(problem.details[0].field, field, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_json::<ProvisionRequest>(&body);
        }
    }
}

//! Refusals in the terms of the Open Service Broker API: `{error, description}`, with what a KIDP refusal says besides.
//!
//! <https://github.com/openservicebrokerapi/servicebroker/blob/v2.17/spec.md#service-broker-errors>

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use kidp_core::problem::{FieldError, Problem, Reason};
use schemars::JsonSchema;
use serde::Serialize;

/// Body of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "OsbError")]
pub struct ErrorBody {
    /// One word: one of the specification's, or the reason of a KIDP refusal.
    pub error: String,
    /// What to do about it, for a person. Never holds a secret.
    pub description: String,
    /// Whether the instance can still be used after an update that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_usable: Option<bool>,
    /// Whether the same update may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_repeatable: Option<bool>,
    /// The fields at fault, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
}

/// A refusal on its way to a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsbError {
    /// HTTP status.
    pub status: StatusCode,
    /// Body.
    pub body: ErrorBody,
    retryable: bool,
}

impl OsbError {
    fn new(status: StatusCode, error: &str, description: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody {
                error: error.to_owned(),
                description: description.into(),
                instance_usable: None,
                update_repeatable: None,
                details: Vec::new(),
            },
            retryable: false,
        }
    }

    /// A field that cannot be honoured.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Problem::fields(Reason::InvalidField, vec![FieldError::new(field, message)]).into()
    }

    /// The client did not say that it can wait.
    pub fn async_required() -> Self {
        let say =
            "this takes longer than a request: ask with accepts_incomplete=true, and poll last_operation";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "AsyncRequired", say)
    }

    /// Something else is being done to the instance or binding.
    pub fn concurrency(say: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "ConcurrencyError", say)
    }

    /// The platform's catalog is out of date.
    pub fn maintenance_info(known: &str) -> Self {
        let say = format!("maintenance_info.version of this plan is {known} by now; read the catalog again");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "MaintenanceInfoConflict", say);
        error.body.details = vec![FieldError::new("maintenance_info.version", format!("is {known}"))];
        error
    }

    /// A version of the API that is not spoken here.
    pub fn api_version() -> Self {
        let say = "send X-Broker-API-Version: 2.13 or a later 2.x; this broker speaks 2.17";
        let mut error = Self::new(StatusCode::PRECONDITION_FAILED, "UnsupportedApiVersion", say);
        error.body.details = vec![FieldError::new(
            "X-Broker-API-Version",
            "must be 2.13 or a later 2.x",
        )];
        error
    }

    /// Nothing here has this id.
    pub fn not_found(field: &str) -> Self {
        let fault = FieldError::new(field, "nothing of this broker's has this id");
        Problem::fields(Reason::NotFound, vec![fault]).into()
    }

    /// It is there already, and differs in these.
    pub fn conflict(field: &str, message: impl Into<String>) -> Self {
        Problem::fields(Reason::Conflict, vec![FieldError::new(field, message)]).into()
    }

    /// A refused update: the instance goes on as it was.
    #[must_use]
    pub fn of_update(mut self) -> Self {
        self.body.instance_usable = Some(true);
        self.body.update_repeatable = Some(self.retryable || self.body.error == "ConcurrencyError");
        self
    }
}

impl From<Problem> for OsbError {
    /// The specification has 422 for its own three codes, and 400 for what a request gets wrong.
    fn from(problem: Problem) -> Self {
        let status = match problem.error {
            Reason::InvalidField => StatusCode::BAD_REQUEST,
            _ => StatusCode::from_u16(problem.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let mut error = Self::new(status, problem.error.as_str(), problem.message);
        error.body.details = problem.details;
        error.retryable = problem.error.is_retryable();
        error
    }
}

impl IntoResponse for OsbError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.retryable {
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        response
    }
}

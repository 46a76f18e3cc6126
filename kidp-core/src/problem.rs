//! Errors as values that cross a process boundary: one shape for HTTP answers, conditions and callbacks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// Path of the field as the user wrote it, such as `spec.parameters.max_connections`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl FieldError {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Joins field errors into one line for a condition's message.
pub fn summarise(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The reason of a refusal. The text is stable; clients may branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// The body is not what the route takes: malformed, wrong type, unknown field.
    MalformedRequest,
    /// The body is larger than the route takes.
    BodyTooLarge,
    /// The content type is not JSON.
    UnsupportedMediaType,
    /// A field's value cannot be honoured.
    InvalidField,
    /// The caller did not say who it is, or not credibly.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// Nothing here has that id or name, or there is no such route.
    NotFound,
    /// The route does not know this method.
    MethodNotAllowed,
    /// It exists already and differs.
    Conflict,
    /// It was removed for good; a request from before its removal came late.
    Gone,
    /// Another operation on the same thing is under way; the same request succeeds after it.
    ConcurrencyError,
    /// More is under way than the broker takes on.
    TooManyRequests,
    /// The cluster, or something else needed, does not answer.
    Unavailable,
    /// It took longer than the limit.
    Timeout,
    /// A fault of the server's own.
    Internal,
}

impl Reason {
    /// The HTTP status that goes with the reason.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::MalformedRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidField | Self::ConcurrencyError => 422,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The reason as it is written, for conditions and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "MalformedRequest",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InvalidField => "InvalidField",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::ConcurrencyError => "ConcurrencyError",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same request can succeed later without being changed.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::TooManyRequests
                | Self::ConcurrencyError
                | Self::Internal
                | Self::Unavailable
                | Self::Timeout
        )
    }
}

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The stable reason.
    pub error: Reason,
    /// What happened and what to do about it, for a person. Never holds a secret.
    pub message: String,
    /// The HTTP status, again, for readers of logs and statuses.
    pub code: u16,
    /// The fields at fault, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
}

impl Problem {
    /// A refusal without a field.
    pub fn new(error: Reason, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
            code: error.http_status(),
            details: Vec::new(),
        }
    }

    /// A refusal of fields; the message lists them.
    pub fn fields(error: Reason, details: Vec<FieldError>) -> Self {
        Self {
            error,
            message: summarise(&details),
            code: error.http_status(),
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_written_the_same_everywhere() {
        for reason in [
            Reason::MalformedRequest,
            Reason::InvalidField,
            Reason::TooManyRequests,
            Reason::Gone,
            Reason::ConcurrencyError,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_refusal_names_its_fields() {
        let problem = Problem::fields(
            Reason::InvalidField,
            vec![FieldError::new("spec.version", "unknown")],
        );
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({"error": "InvalidField", "message": "spec.version: unknown", "code": 422,
                "details": [{"field": "spec.version", "message": "unknown"}]})
        );
    }
}

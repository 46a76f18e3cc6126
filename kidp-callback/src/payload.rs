//! The body of a callback: what a broker tells the operator about one deployment.
//!
//! A callback is a hint. The receiver reads the broker again before it believes any of it, so nothing here
//! carries credentials, only the name of the Secret that holds them.

use std::collections::BTreeMap;

use kidp_core::deployment::DeploymentId;
use kidp_core::instance::ResourceType;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Largest callback body that is sent or read, in bytes.
pub const MAX_CALLBACK_BYTES: usize = 64 * 1024;

const MAX_NAME: usize = 253;
const MAX_TEXT: usize = 4096;

/// How the reported step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackStatus {
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// It has not ended.
    InProgress,
}

/// Where the instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallbackPhase {
    /// Being made or changed.
    Provisioning,
    /// Usable.
    Ready,
    /// Cannot be served as it is written.
    Failed,
    /// Being removed.
    Deleting,
    /// Gone.
    Deleted,
}

impl CallbackPhase {
    /// The status that goes with the phase.
    pub const fn status(self) -> CallbackStatus {
        match self {
            Self::Ready | Self::Deleted => CallbackStatus::Success,
            Self::Failed => CallbackStatus::Failed,
            Self::Provisioning | Self::Deleting => CallbackStatus::InProgress,
        }
    }
}

/// A callback. Field names are fixed: existing clients use them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Callback {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// Name of the resource.
    pub resource_name: String,
    /// Namespace of the resource.
    pub namespace: String,
    /// How the step went.
    pub status: CallbackStatus,
    /// Where the instance is in its life.
    pub phase: CallbackPhase,
    /// Generation of the resource that this speaks of, so that an old callback can be told from a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_generation: Option<i64>,
    /// For a person. Never holds a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Stable reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it happened.
    pub time: jiff::Timestamp,
    /// Host name that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Port that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Name of the Secret with the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<String>,
    /// What else there is to say, by topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
    /// Metadata that a broker adds of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_metadata: BTreeMap<String, Value>,
    /// Expected cost a month; absent while no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_monthly_cost: Option<f64>,
}

/// Why a body is not a callback.
#[derive(Debug, Error)]
pub enum PayloadError {
    /// Larger than [`MAX_CALLBACK_BYTES`].
    #[error("a callback is at most {MAX_CALLBACK_BYTES} bytes, this has {0}")]
    TooLarge(usize),
    /// Not JSON, a wrong type, a missing or an unknown field.
    #[error("not a callback: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A text is longer than its field may be.
    #[error("{field} is longer than {limit} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The longest that is accepted.
        limit: usize,
    },
}

impl Callback {
    /// A callback with what every one has; the rest is set by field.
    pub fn new(
        deployment_id: DeploymentId,
        resource_type: ResourceType,
        resource_name: impl Into<String>,
        namespace: impl Into<String>,
        phase: CallbackPhase,
        time: jiff::Timestamp,
    ) -> Self {
        Self {
            deployment_id,
            resource_type,
            resource_name: resource_name.into(),
            namespace: namespace.into(),
            status: phase.status(),
            phase,
            resource_generation: None,
            message: None,
            error: None,
            time,
            endpoint: None,
            port: None,
            connection_secret: None,
            details: BTreeMap::new(),
            additional_metadata: BTreeMap::new(),
            estimated_monthly_cost: None,
        }
    }

    /// Reads a body, strictly and within bounds. Verify its signature first.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        if body.len() > MAX_CALLBACK_BYTES {
            return Err(PayloadError::TooLarge(body.len()));
        }
        let callback: Self = serde_json::from_slice(body)?;
        callback.check_lengths()?;
        Ok(callback)
    }

    /// The body to sign and send.
    pub fn to_body(&self) -> Result<Vec<u8>, PayloadError> {
        let body = serde_json::to_vec(self)?;
        if body.len() > MAX_CALLBACK_BYTES {
            return Err(PayloadError::TooLarge(body.len()));
        }
        Ok(body)
    }

    fn check_lengths(&self) -> Result<(), PayloadError> {
        let fields = [
            ("resourceName", Some(&self.resource_name), MAX_NAME),
            ("namespace", Some(&self.namespace), MAX_NAME),
            ("endpoint", self.endpoint.as_ref(), MAX_NAME),
            ("connectionSecret", self.connection_secret.as_ref(), MAX_NAME),
            ("message", self.message.as_ref(), MAX_TEXT),
            ("error", self.error.as_ref(), MAX_TEXT),
        ];
        let too_long =
            |(_, text, limit): &(&str, Option<&String>, usize)| text.is_some_and(|t| t.len() > *limit);
        match fields.into_iter().find(too_long) {
            Some((field, _, limit)) => Err(PayloadError::TooLong { field, limit }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Callback {
        Callback {
            endpoint: Some("orders.shop.svc".to_owned()),
            port: Some(5432),
            resource_generation: Some(3),
            ..Callback::new(
                DeploymentId::derive("eu", "shop", "Database", "orders", "uid"),
                ResourceType::Database,
                "orders",
                "shop",
                CallbackPhase::Ready,
                jiff::Timestamp::from_second(1_700_000_000).unwrap(),
            )
        }
    }

    #[test]
    fn field_names_are_the_contract() {
        let mut value = serde_json::to_value(example()).unwrap();
        value["deploymentId"] = "x".into();
        assert_eq!(
            value,
            serde_json::json!({"deploymentId": "x", "resourceType": "Database", "resourceName": "orders",
                "namespace": "shop", "status": "success", "phase": "Ready", "resourceGeneration": 3,
                "time": "2023-11-14T22:13:20Z", "endpoint": "orders.shop.svc", "port": 5432})
        );
    }

    #[test]
    fn a_body_round_trips() {
        let body = example().to_body().unwrap();
        assert_eq!(Callback::parse(&body).unwrap(), example());
    }

    #[test]
    fn bodies_out_of_bounds_are_refused() {
        let long = vec![b' '; MAX_CALLBACK_BYTES + 1];
        assert!(matches!(Callback::parse(&long), Err(PayloadError::TooLarge(_))));
        let mut wordy = example();
        wordy.message = Some("x".repeat(MAX_TEXT + 1));
        let error = Callback::parse(&wordy.to_body().unwrap()).unwrap_err();
        assert!(error.to_string().contains("message"), "{error}");
        let mut value = serde_json::to_value(example()).unwrap();
        value["surprise"] = true.into();
        let error = Callback::parse(value.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("surprise"), "{error}");
    }
}

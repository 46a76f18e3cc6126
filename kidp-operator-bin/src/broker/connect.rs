//! Clients of brokers, with the authentication that their objects ask for.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kidp_core::crd::{AuthenticationType, Broker};
use kube::{Api, Client};
use thiserror::Error;

use crate::broker_client::{ApiKey, BrokerClient, BrokerError};
use crate::cache::namespace_of;
use crate::kube_io::timed;

/// Key of a Secret that is read when the `Broker` names none.
const DEFAULT_KEY: &str = "api-key";

/// Why a broker cannot be talked to.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no such `Broker` object. Create it again.
    #[error("there is no such Broker object")]
    NoBroker,
    /// The authentication type is not implemented. Use `none` or `api-key`.
    #[error("authentication type {0:?} is not supported; use none or api-key")]
    UnsupportedAuthentication(AuthenticationType),
    /// The Secret or the key in it is not there or not text. Correct the Secret or the reference.
    #[error("Secret `{name}` in the namespace of the Broker has no usable key `{key}`")]
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key in it.
        key: String,
    },
    /// The endpoint is not usable. Correct it in the `Broker`.
    #[error("spec.endpoint is not an http or https URL")]
    Endpoint(#[source] BrokerError),
}

/// Makes clients of brokers.
#[derive(Clone)]
pub struct Connections {
    http: reqwest::Client,
    kube: Client,
    timeout: Duration,
}

impl Connections {
    /// Clients over `http`, whose exchanges take at most `timeout`.
    pub const fn new(http: reqwest::Client, kube: Client, timeout: Duration) -> Self {
        Self { http, kube, timeout }
    }

    /// Longest time that one exchange takes.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A client of that broker. A key is read anew each time, so that a rotated one is used at once.
    pub async fn client(&self, broker: &Broker) -> Result<BrokerClient, ConnectError> {
        let key = match broker.spec.authentication.type_ {
            AuthenticationType::None => None,
            AuthenticationType::ApiKey => Some(self.key(broker).await?),
            other => return Err(ConnectError::UnsupportedAuthentication(other)),
        };
        BrokerClient::new(self.http.clone(), &broker.spec.endpoint, key).map_err(ConnectError::Endpoint)
    }

    async fn key(&self, broker: &Broker) -> Result<ApiKey, ConnectError> {
        let reference = broker.spec.authentication.secret_ref.as_ref();
        let name = reference.map(|r| r.name.clone()).unwrap_or_default();
        let key = reference
            .and_then(|r| r.key.clone())
            .unwrap_or_else(|| DEFAULT_KEY.to_owned());
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &namespace_of(broker));
        let found = match timed(secrets.get(&name)).await {
            Ok(secret) => secret.data.and_then(|mut data| data.remove(&key)),
            Err(error) => {
                tracing::warn!(secret = %name, %error, "cannot read the key of a broker");
                None
            }
        };
        let text = found.and_then(|bytes| String::from_utf8(bytes.0).ok());
        match text.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() && text.is_ascii() => Ok(ApiKey::new(text)),
            _ => Err(ConnectError::Secret { name, key }),
        }
    }
}

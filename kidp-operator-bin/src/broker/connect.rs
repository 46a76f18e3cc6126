//! Clients of brokers, with the authentication that their objects ask for.
//!
//! | `authentication.type` | the broker sees | from |
//! |---|---|---|
//! | `none` | nobody | |
//! | `api-key` | a key | the Secret, entry `api-key` |
//! | `jwt` | a token | `--broker-token-file`, or the Secret, entry `token` |
//! | `mtls` | a certificate | the Secret, entries `tls.crt` and `tls.key` |
//!
//! `secretRef.key` names another entry for a key or token. An entry `ca.crt` of the Secret has the only authorities that
//! the broker's own certificate may be of; without it they are those of `--broker-ca-file`, or the system's.
//!
//! A key or token is read anew for each client, since both are rotated. It is sent over `https`, or to where plain `http`
//! stays inside the machine or the cluster, and refused for anywhere else: what listens on the way could use it.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kidp_callback::http::{ClientError, Http, TlsSettings, client_with};
use kidp_core::crd::{AuthenticationType, Broker};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::{Host, Url};

use crate::broker_client::{Bearer, BrokerClient, BrokerError, Pause, base_url};
use crate::cache::namespace_of;
use crate::kube_io::timed;
use crate::metrics::Metrics;

/// Entry of a Secret with an API key, when the `Broker` names none.
const API_KEY: &str = "api-key";
/// Entry with a token, when the `Broker` names none.
const TOKEN: &str = "token";
/// Entries of a Secret of type `kubernetes.io/tls`, and the one that cert-manager adds.
const CERTIFICATE: &str = "tls.crt";
const PRIVATE_KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
/// Largest token file that is read.
const MAX_TOKEN: u64 = 64 * 1024;
/// Most TLS clients that are kept.
const MAX_CLIENTS: usize = 64;
/// Most pauses that are remembered.
const MAX_PAUSES: usize = 1024;

/// Why a broker cannot be talked to. Holds nothing of a key or token.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no such `Broker` object. Create it again.
    #[error("there is no such Broker object")]
    NoBroker,
    /// There is no token to send. Give one.
    #[error("spec.authentication: type jwt needs a secretRef, or the operator's --broker-token-file")]
    NoToken,
    /// The operator's own token cannot be read. Mount it.
    #[error("the file of --broker-token-file holds no usable token")]
    TokenFile,
    /// The Secret or the entry in it is not there or not usable. Correct the Secret or the reference.
    #[error("Secret `{name}` in the namespace of the Broker has no usable entry `{key}`")]
    Secret {
        /// Name of the Secret.
        name: String,
        /// Entry in it.
        key: String,
    },
    /// Certificate, key and authorities make no TLS client. Correct the Secret.
    #[error(
        "the certificates of Secret `{0}`, or of --broker-ca-file, are not usable PEM, or do not go together"
    )]
    Certificates(String),
    /// The endpoint is not usable. Correct it in the `Broker`.
    #[error("spec.endpoint is not an http or https URL")]
    Endpoint(#[source] BrokerError),
    /// A key or token would go over the network in plain. Use `https`.
    #[error(
        "spec.endpoint: a key or token is sent over https, or by http to a Service of the cluster \
         (`<service>.<namespace>.svc`) or to this machine"
    )]
    Plain,
    /// A certificate can be presented over TLS only. Use `https`.
    #[error("spec.endpoint: authentication type mtls needs https")]
    MtlsWithoutTls,
}

/// Where the operator's own credentials are.
#[derive(Clone, Debug, Default)]
pub struct OwnCredentials {
    /// File with a token of the operator's service account.
    pub token_file: Option<PathBuf>,
    /// Authorities of brokers' certificates, in PEM.
    pub authorities: Option<Vec<u8>>,
}

/// Makes clients of brokers.
#[derive(Clone)]
pub struct Connections {
    http: Http,
    kube: Client,
    timeout: Duration,
    own: OwnCredentials,
    /// By what they are made of, so that connections are reused until a certificate is renewed.
    tls: Arc<Mutex<HashMap<TlsKey, reqwest::Client>>>,
    pauses: Arc<Mutex<HashMap<ObjectRef<Broker>, Pause>>>,
    metrics: Metrics,
}

/// Hash of what a TLS client is made of.
type TlsKey = [u8; 32];
type Entries = BTreeMap<String, ByteString>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both maps are caches; nothing in them is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// Clients over `http`, or over what the Secrets ask for, whose exchanges take at most `timeout`.
    pub fn new(http: Http, kube: Client, timeout: Duration, own: OwnCredentials) -> Self {
        Self {
            http,
            kube,
            timeout,
            own,
            tls: Arc::default(),
            pauses: Arc::default(),
            metrics: Metrics::default(),
        }
    }

    /// The same, counting in `metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Longest time that one exchange takes.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A client of that broker.
    pub async fn client(&self, broker: &Broker) -> Result<BrokerClient, ConnectError> {
        let base = base_url(&broker.spec.endpoint).map_err(ConnectError::Endpoint)?;
        let authentication = &broker.spec.authentication;
        let secret = match &authentication.secret_ref {
            Some(reference) if authentication.type_ != AuthenticationType::None => Some((
                reference.name.as_str(),
                self.secret(broker, &reference.name).await?,
            )),
            _ => None,
        };
        let named = authentication.secret_ref.as_ref().and_then(|r| r.key.as_deref());
        let bearer = match (authentication.type_, &secret) {
            (AuthenticationType::None | AuthenticationType::Mtls, _) => None,
            (AuthenticationType::Jwt, None) => Some(self.own_token().await?),
            (AuthenticationType::Jwt, Some(secret)) => Some(bearer(secret, named.unwrap_or(TOKEN))?),
            (AuthenticationType::ApiKey, Some(secret)) => Some(bearer(secret, named.unwrap_or(API_KEY))?),
            // The CRD does not let it come to this.
            (AuthenticationType::ApiKey, None) => return Err(missing("", API_KEY)),
        };
        if bearer.is_some() && !is_private(&base) {
            return Err(ConnectError::Plain);
        }
        let http = self.http(&base, authentication.type_, secret.as_ref())?;
        let (pause, metrics) = (self.pause(broker), self.metrics.clone());
        Ok(BrokerClient::new(http, base, bearer, pause, metrics))
    }

    async fn secret(&self, broker: &Broker, name: &str) -> Result<Entries, ConnectError> {
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &namespace_of(broker));
        match timed(secrets.get(name)).await {
            Ok(secret) => Ok(secret.data.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(secret = %name, %error, "cannot read the Secret of a broker");
                Err(missing(name, "(any)"))
            }
        }
    }

    /// The operator's own token, read anew each time: the kubelet replaces it before it ends.
    async fn own_token(&self) -> Result<Bearer, ConnectError> {
        let path = self.own.token_file.clone().ok_or(ConnectError::NoToken)?;
        let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
        let text = read.ok().and_then(|read| {
            read.inspect_err(|error| tracing::warn!(%error, "cannot read --broker-token-file"))
                .ok()
        });
        text.as_deref()
            .and_then(credential)
            .ok_or(ConnectError::TokenFile)
    }

    /// The HTTP client: the common one, unless the broker has certificates of its own.
    fn http(
        &self,
        base: &Url,
        type_: AuthenticationType,
        secret: Option<&(&str, Entries)>,
    ) -> Result<Http, ConnectError> {
        let mtls = type_ == AuthenticationType::Mtls;
        if base.scheme() != "https" {
            return if mtls {
                Err(ConnectError::MtlsWithoutTls)
            } else {
                Ok(self.http.clone())
            };
        }
        let entry = |name: &str| {
            secret
                .and_then(|(_, entries)| entries.get(name))
                .map(|b| b.0.clone())
        };
        let identity = if mtls {
            let name = secret.map_or("", |(name, _)| *name);
            let part = |key: &str| entry(key).ok_or_else(|| missing(name, key));
            Some([part(CERTIFICATE)?, part(PRIVATE_KEY)?].join(&b'\n'))
        } else {
            None
        };
        let authorities = entry(AUTHORITIES).or_else(|| self.own.authorities.clone());
        if identity.is_none() && authorities.is_none() {
            return Ok(self.http.clone());
        }
        let name = secret.map_or("", |(name, _)| *name);
        let settings = TlsSettings {
            authorities,
            identity,
        };
        self.tls_client(&settings)
            .map(Http::from)
            .map_err(|_| ConnectError::Certificates(name.to_owned()))
    }

    fn tls_client(&self, settings: &TlsSettings) -> Result<reqwest::Client, ClientError> {
        let key = tls_key(settings);
        if let Some(client) = lock(&self.tls).get(&key) {
            return Ok(client.clone());
        }
        let client = client_with(self.timeout, settings)?;
        let mut clients = lock(&self.tls);
        // Mostly clients of certificates that were renewed since. Those that are in use are made again.
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn pause(&self, broker: &Broker) -> Pause {
        let mut pauses = lock(&self.pauses);
        if pauses.len() >= MAX_PAUSES {
            pauses.retain(|_, pause| pause.left().is_some());
        }
        pauses.entry(ObjectRef::from_obj(broker)).or_default().clone()
    }
}

fn tls_key(settings: &TlsSettings) -> TlsKey {
    let mut hash = Sha256::new();
    for part in [&settings.authorities, &settings.identity] {
        // The length keeps what ends one part from beginning the next.
        let part = part.as_deref().unwrap_or_default();
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn missing(secret: &str, entry: &str) -> ConnectError {
    ConnectError::Secret {
        name: secret.to_owned(),
        key: entry.to_owned(),
    }
}

fn bearer((name, entries): &(&str, Entries), key: &str) -> Result<Bearer, ConnectError> {
    let text = entries
        .get(key)
        .and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
    text.and_then(credential).ok_or_else(|| missing(name, key))
}

/// A text that can be sent as a key or token.
fn credential(text: &str) -> Option<Bearer> {
    let text = text.trim();
    let sendable = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    sendable.then(|| Bearer::new(text))
}

fn read_token(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MAX_TOKEN)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a key or token that is sent there stays among those who may see it: over TLS, or inside the machine or the
/// cluster.
fn is_private(url: &Url) -> bool {
    let in_cluster = |name: &str| {
        let labels: Vec<_> = name.trim_end_matches('.').split('.').collect();
        matches!(
            *labels,
            ["localhost"] | [_, .., "svc"] | [_, .., "svc", "cluster", "local"]
        )
    };
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => in_cluster(name),
            None => false,
        }
}

#[cfg(test)]
mod tests;

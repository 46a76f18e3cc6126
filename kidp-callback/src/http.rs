//! The HTTP client that KIDP's processes talk to each other with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::resolve::GuardedResolver;

/// What an exchange comes to, later.
pub type Answer = Pin<Box<dyn Future<Output = Result<reqwest::Response, ExchangeError>> + Send>>;

/// Carries exchanges in place of the network, as in a test that runs both sides in one process.
pub trait Carrier: Send + Sync {
    /// Carries one.
    fn carry(&self, request: reqwest::Request) -> Answer;
}

/// Why there is no answer. Holds no URL.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// None in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection was made, so nothing was sent.
    #[error("no connection")]
    Connect,
    /// The connection broke, or what came is no HTTP.
    #[error("the exchange broke off")]
    Broken,
}

impl From<reqwest::Error> for ExchangeError {
    fn from(error: reqwest::Error) -> Self {
        // One that took too long to connect is both: what counts is that nothing was sent.
        if error.is_connect() {
            Self::Connect
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken
        }
    }
}

/// A client, and what carries its exchanges. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    carrier: Option<Arc<dyn Carrier>>,
}

impl Http {
    /// Exchanges over `carrier`; requests are still made by `client`.
    pub fn over(client: reqwest::Client, carrier: Arc<dyn Carrier>) -> Self {
        let carrier = Some(carrier);
        Self { client, carrier }
    }

    /// Begins a request.
    pub fn request(&self, method: reqwest::Method, url: url::Url) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ExchangeError> {
        match &self.carrier {
            None => Ok(request.send().await?),
            Some(carrier) => carrier.carry(request.build()?).await,
        }
    }
}

impl From<reqwest::Client> for Http {
    fn from(client: reqwest::Client) -> Self {
        let carrier = None;
        Self { client, carrier }
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http(..)")
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection is kept that nothing is sent over: less than the broker keeps one, so that no request meets a
/// connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// The client could not be made.
#[derive(Debug, Error)]
#[error("cannot make an HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// What a client trusts and who it is, over TLS. Each is PEM.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// The only authorities of servers; the system's when absent.
    pub authorities: Option<Vec<u8>>,
    /// The client's certificate with its chain, and its key.
    pub identity: Option<Vec<u8>>,
}

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSettings(..)")
    }
}

/// A [`client`] with these settings.
pub fn client_with(timeout: Duration, tls: &TlsSettings) -> Result<reqwest::Client, ClientError> {
    let mut builder = builder(timeout);
    if let Some(pem) = &tls.authorities {
        builder = trusting(builder, pem)?;
    }
    if let Some(pem) = &tls.identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem)?);
    }
    Ok(builder.build()?)
}

/// A client for callbacks: it resolves names by `resolver`, and trusts the authorities of `authorities` (PEM) and no
/// other, or the system's when there are none.
pub fn guarded(
    timeout: Duration,
    resolver: GuardedResolver,
    authorities: Option<&[u8]>,
) -> Result<reqwest::Client, ClientError> {
    let resolver = Arc::new(resolver);
    let base = || builder(timeout).dns_resolver(resolver.clone());
    match authorities {
        Some(pem) => Ok(trusting(base(), pem)?.build()?),
        None => by_the_system(base),
    }
}

/// A client that follows no redirect, uses no proxy of the environment, and gives up on a whole exchange after
/// `timeout`. Make one and clone it: it holds the connection pool.
///
/// TLS uses the system's certificates. Where there are none, as in an image without a CA bundle, `http` URLs
/// work and `https` ones are refused as untrusted.
///
/// ```
/// let client = kidp_callback::http::client(std::time::Duration::from_secs(5)).unwrap();
/// # drop(client);
/// ```
pub fn client(timeout: Duration) -> Result<reqwest::Client, ClientError> {
    by_the_system(|| builder(timeout))
}

/// Trusts the authorities of `pem` and no other.
fn trusting(builder: reqwest::ClientBuilder, pem: &[u8]) -> Result<reqwest::ClientBuilder, ClientError> {
    Ok(builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?))
}

/// Trusts the system's authorities; where there are none, nobody.
fn by_the_system(base: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, ClientError> {
    match base().build() {
        Ok(client) => Ok(client),
        Err(error) => {
            tracing::warn!(%error, "no CA certificates of the system: https endpoints will not be trusted");
            Ok(base().tls_certs_only([]).build()?)
        }
    }
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    // Fails only where a provider is installed already, which then serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("kidp/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(POOL_IDLE)
}

//! The HTTP client that KIDP's processes talk to each other with.

use std::time::Duration;

use thiserror::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The client could not be made.
#[derive(Debug, Error)]
#[error("cannot make an HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

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
    // Fails only where a provider is installed already, which then serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match builder(timeout).build() {
        Ok(client) => Ok(client),
        Err(error) => {
            tracing::warn!(%error, "no CA certificates of the system: https endpoints will not be trusted");
            Ok(builder(timeout).tls_certs_only([]).build()?)
        }
    }
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("kidp/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_mins(1))
}

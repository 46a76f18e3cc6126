//! The KIDP broker: takes requests for databases, caches and message queues over HTTP, records them in its cluster,
//! and provisions them.
//!
//! ```text
//!  operator ── POST /v1/provision ─> routes ─> admit (pure) ─> records ── ServiceInstance ──┐
//!     ^                                                                                     v
//!     └────────── signed callback ── outbox <── status <── provision, observe <── controller (level-triggered)
//! ```
//!
//! The process keeps no state: a broker that dies is replaced by one that reads the records. Run one replica:
//! the API could be served by several, but each would also run the controller. That would be safe, since
//! everything is applied idempotently under preconditions, and would double the reads and the callbacks.

pub mod admit;
pub mod auth;
pub mod config;
pub mod controller;
pub mod error;
pub mod extract;
pub mod key;
mod middleware;
pub mod record;
pub mod records;
mod routes;
pub mod shutdown;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use kidp_callback::{PublicKey, Sender, UrlPolicy};
use kidp_provisioners::Registry;
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig};
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use routes::app;

use crate::auth::{ApiKeys, ApiKeysError};
use crate::config::Config;
use crate::records::Records;

/// Most requests in flight.
const MAX_IN_FLIGHT: usize = 256;
/// Longest that a request takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that stopping takes.
const DRAIN: Duration = Duration::from_secs(15);

/// What the routes share.
pub struct Broker {
    /// Name; equals the name of the `Broker` object.
    pub name: String,
    /// The cluster.
    pub client: Client,
    /// The records in it.
    pub records: Records,
    /// What can be provisioned.
    pub registry: Registry,
    /// Where callbacks may go.
    pub callback_urls: UrlPolicy,
    /// What callbacks are verified with.
    pub public_key: PublicKey,
    /// Who may ask.
    pub api_keys: ApiKeys,
    /// Places for requests in flight.
    pub in_flight: Semaphore,
    /// Longest that a request takes.
    pub request_timeout: Duration,
}

/// Why the broker does not run. Each is a fault of its configuration or its surroundings.
#[derive(Debug, Error)]
pub enum RunError {
    /// An allowed callback URL is not usable.
    #[error("--allowed-callback-url: {0}")]
    CallbackUrl(#[from] kidp_callback::url::PolicyError),
    /// The file with API keys cannot be read.
    #[error("--api-key-file: {0}")]
    KeyFile(#[source] std::io::Error),
    /// The file with API keys holds none.
    #[error("--api-key-file {0}")]
    Keys(#[from] ApiKeysError),
    /// There is no cluster to talk to.
    #[error("no cluster: {0}")]
    Cluster(#[source] Box<kube::Error>),
    /// There is no signing key.
    #[error(transparent)]
    SigningKey(#[from] key::KeyStoreError),
    /// There is no HTTP client.
    #[error(transparent)]
    HttpClient(#[from] kidp_callback::http::ClientError),
    /// The address cannot be listened on, or signals cannot be received.
    #[error("cannot serve: {0}")]
    Serve(#[from] std::io::Error),
}

/// Runs the broker until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), RunError> {
    let callback_urls = UrlPolicy::new(&config.allowed_callback_urls)?;
    let api_keys = match &config.api_key_file {
        Some(path) => ApiKeys::parse(&std::fs::read_to_string(path).map_err(RunError::KeyFile)?)?,
        None => ApiKeys::default(),
    };
    let shutdown = shutdown::on_signal()?;
    // Also installs the TLS provider, which the cluster's client needs as well.
    kidp_callback::http::client(REQUEST_TIMEOUT)?;
    let client = Client::try_default()
        .await
        .map_err(|e| RunError::Cluster(Box::new(e)))?;
    let key = key::load_or_create(&client, &config.namespace).await?;
    let registry = registry(&config);
    let broker = Broker {
        name: config.name.clone(),
        client: client.clone(),
        records: Records::new(client.clone(), config.name.as_str()),
        registry: registry.clone(),
        callback_urls: callback_urls.clone(),
        public_key: key.public(),
        api_keys,
        in_flight: Semaphore::new(MAX_IN_FLIGHT),
        request_timeout: REQUEST_TIMEOUT,
    };
    let sender = Sender::new(key, config.name.as_str())?;
    let context = controller::Context::new(
        &config.name,
        client,
        registry,
        sender,
        callback_urls,
        shutdown.clone(),
    );
    let listener = TcpListener::bind(config.listen).await?;
    tracing::info!(name = config.name, listen = %config.listen, "the broker is up");
    let controller = tokio::spawn(controller::run(context, config.max_concurrent));
    let served = serve(listener, broker, shutdown.clone()).await;
    shutdown.cancel();
    if tokio::time::timeout(DRAIN, controller).await.is_err() {
        tracing::warn!("the controller did not stop in time; its work resumes at the next start");
    }
    tracing::info!("stopped");
    Ok(served?)
}

/// What this broker provisions.
fn registry(config: &Config) -> Registry {
    let standard = Registry::standard();
    let Some(repository) = &config.postgres_image_repository else {
        return standard;
    };
    let mut settings = PostgresqlConfig::default();
    (settings.image.registry, settings.image.repository) = split_repository(repository);
    standard.with(Arc::new(Postgresql::new(settings)))
}

/// Registry and repository of `mirror.example/library/postgres`; the registry is Docker's where none is named.
fn split_repository(text: &str) -> (String, String) {
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    match text.split_once('/') {
        Some((host, rest)) if is_host(host) => (host.to_owned(), rest.to_owned()),
        _ => ("docker.io".to_owned(), text.to_owned()),
    }
}

/// Serves the API until `shutdown`, then lets what is in flight end.
async fn serve(listener: TcpListener, broker: Broker, shutdown: CancellationToken) -> std::io::Result<()> {
    let stop = shutdown.clone();
    let server = axum::serve(listener, app(Arc::new(broker)))
        .with_graceful_shutdown(async move { stop.cancelled().await });
    let overdue = async move {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => ended,
        () = overdue => {
            tracing::warn!("requests in flight did not end in time");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_repository;

    #[test]
    fn a_registry_is_told_from_a_folder() {
        let split = |text| split_repository(text);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            split("mirror.example/library/postgres"),
            pair("mirror.example", "library/postgres")
        );
        assert_eq!(
            split("localhost:5000/postgres"),
            pair("localhost:5000", "postgres")
        );
        assert_eq!(split("library/postgres"), pair("docker.io", "library/postgres"));
    }
}

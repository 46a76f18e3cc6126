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
pub mod audit;
pub mod auth;
pub mod bindings;
pub mod config;
pub mod controller;
pub mod error;
pub mod extract;
pub mod features;
pub mod key;
pub mod metrics;
mod middleware;
pub mod openapi;
pub mod osb;
pub mod rate_limit;
pub mod record;
pub mod records;
pub mod reload;
mod routes;
pub mod server;
pub mod shutdown;
#[cfg(test)]
mod testing;
pub mod tombstones;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use kidp_callback::{KeyRing, Sender, UrlPolicy};
use kidp_provisioners::Registry;
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig};
use kidp_provisioners::features::DiscoverError;
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use routes::{Reachability, app};

use crate::auth::Access;
use crate::auth::setup::SetupError;
use crate::bindings::Bindings;
use crate::config::Config;
use crate::features::Features;
use crate::key::KeyStore;
use crate::metrics::Metrics;
use crate::records::Records;
use crate::server::Limits;
use crate::tombstones::Tombstones;

/// Most requests in flight.
const MAX_IN_FLIGHT: usize = 256;
/// Most connections of those who scrape.
const SCRAPERS: u16 = 16;
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
    /// The records of bindings.
    pub bindings: Bindings,
    /// What can be provisioned.
    pub registry: Registry,
    /// What its cluster offers to provisioners.
    pub features: Features,
    /// Where callbacks may go.
    pub callback_urls: UrlPolicy,
    /// What callbacks are signed with.
    pub keys: KeyRing,
    /// Who may ask, how often, and for what.
    pub access: Access,
    /// What was found last about the cluster.
    pub reachability: Reachability,
    /// What is counted.
    pub metrics: Metrics,
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
    /// The front door cannot be set up as it is configured.
    #[error(transparent)]
    Access(#[from] SetupError),
    /// There is no cluster to talk to.
    #[error("no cluster: {0}")]
    Cluster(#[source] Box<kube::Error>),
    /// The cluster does not say what it offers.
    #[error(transparent)]
    Features(#[from] DiscoverError),
    /// The file with the authorities of callbacks cannot be read.
    #[error("--callback-ca-file: {0}")]
    CaFile(#[source] std::io::Error),
    /// The file with the authorities of callbacks holds none.
    #[error("--callback-ca-file: {0}")]
    Ca(#[source] kidp_callback::http::ClientError),
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
    let shutdown = shutdown::on_signal()?;
    // Also installs the TLS provider, which the cluster's client needs as well.
    kidp_callback::http::client(REQUEST_TIMEOUT)?;
    let client = Client::try_default()
        .await
        .map_err(|e| RunError::Cluster(Box::new(e)))?;
    let access = auth::setup::access(&config.access, &client, &shutdown)?;
    let tls = auth::setup::tls(&config.access, &shutdown)?;
    let key_store = KeyStore::new(client.clone(), &config.namespace);
    let keys = key_store.load_or_create().await?;
    let key_age = config.callback_key_max_age();
    let kept = tokio::spawn(key::keep(key_store, keys.clone(), key_age, shutdown.clone()));
    let registry = registry(&config);
    let features = Features::watch(client.clone(), shutdown.clone()).await?;
    let tombstones = Tombstones::new(client.clone(), &config.namespace);
    let context = controller::Context::new(
        &config.name,
        client.clone(),
        registry.clone(),
        features.clone(),
        sender(&config, keys.clone())?,
        callback_urls.clone(),
        shutdown.clone(),
    );
    let broker = Broker {
        name: config.name.clone(),
        client: client.clone(),
        records: Records::new(client.clone(), config.name.as_str()).with_tombstones(tombstones.clone()),
        bindings: Bindings::new(client, config.name.as_str()),
        registry,
        features,
        callback_urls,
        keys,
        access,
        reachability: Reachability::default(),
        metrics: context.metrics().clone(),
        in_flight: Semaphore::new(MAX_IN_FLIGHT),
        request_timeout: REQUEST_TIMEOUT,
    };
    let listener = TcpListener::bind(config.listen).await?;
    let metrics = match config.metrics_listen {
        Some(address) => {
            let app = metrics::app(context.metrics(), &config.name);
            let (listener, limits) = (TcpListener::bind(address).await?, Limits::new(SCRAPERS));
            Some(tokio::spawn(server::serve(
                listener,
                app,
                None,
                limits,
                shutdown.clone(),
            )))
        }
        None => None,
    };
    tracing::info!(name = config.name, listen = %config.listen, tls = tls.is_some(), "the broker is up");
    let places = controller::Limits {
        concurrency: config.max_concurrent,
        per_namespace: config.max_concurrent_per_namespace,
        tombstones,
    };
    let controller = tokio::spawn(controller::run(context, places));
    let limits = Limits::new(config.access.max_connections);
    server::serve(listener, app(Arc::new(broker)), tls, limits, shutdown).await;
    if tokio::time::timeout(DRAIN, controller).await.is_err() {
        tracing::warn!("the controller did not stop in time; its work resumes at the next start");
    }
    kept.abort();
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    tracing::info!("stopped");
    Ok(())
}

/// Sends callbacks, over TLS by the authorities of the configuration if it names any.
fn sender(config: &Config, keys: KeyRing) -> Result<Sender, RunError> {
    let sender = Sender::new(keys, config.name.as_str())?;
    match &config.callback_ca_file {
        None => Ok(sender),
        Some(path) => {
            let pem = std::fs::read(path).map_err(RunError::CaFile)?;
            sender.trusting(&pem).map_err(RunError::Ca)
        }
    }
}

/// Replaces the signing key, and prints the new public half. Running brokers sign with it within a minute.
pub async fn rotate_key(config: &Config) -> Result<(), RunError> {
    kidp_callback::http::client(REQUEST_TIMEOUT)?;
    let client = Client::try_default()
        .await
        .map_err(|e| RunError::Cluster(Box::new(e)))?;
    let store = KeyStore::new(client, &config.namespace);
    let rotated = tokio::time::timeout(REQUEST_TIMEOUT, store.rotate()).await;
    let public = rotated.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    println!("{public}");
    Ok(())
}

/// What this broker provisions.
fn registry(config: &Config) -> Registry {
    let mut settings = PostgresqlConfig {
        ha_uid: config.postgres_ha_uid,
        ..PostgresqlConfig::default()
    };
    for (image, repository) in [
        (&mut settings.image, &config.postgres_image_repository),
        (&mut settings.ha_image, &config.postgres_ha_image_repository),
        (
            &mut settings.exporter.image,
            &config.postgres_exporter_image_repository,
        ),
    ] {
        if let Some(repository) = repository {
            (image.registry, image.repository) = split_repository(repository);
        }
    }
    Registry::standard().with(Arc::new(Postgresql::new(settings)))
}

/// Registry and repository of `mirror.example/library/postgres`; the registry is Docker's where none is named.
fn split_repository(text: &str) -> (String, String) {
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    match text.split_once('/') {
        Some((host, rest)) if is_host(host) => (host.to_owned(), rest.to_owned()),
        _ => ("docker.io".to_owned(), text.to_owned()),
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

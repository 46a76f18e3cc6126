//! Validating admission: what may be created is judged before it is, by every replica alike.
//!
//! | module | holds |
//! |---|---|
//! | [`review`] | the judgement of one request |
//! | [`quota`] | whether one more fits: pure |
//! | [`ledger`] | places that are promised, so that of two at the limit one wins |
//! | [`view`] | what is known of the cluster |
//! | [`server`], [`certificate`] | TLS, and the certificate that renews itself |
//!
//! # Guarantees
//! - Of creations at the same time, no more are let through than the limit has room for, whichever replicas judge them.
//! - A dry run promises nothing.
//! - What cannot be judged is refused (`failurePolicy: Fail`), but only of the kinds and changes that count: deletions,
//!   statuses, finalizers and every change that names nobody new and makes nothing larger do not come here.
//!
//! # Caveats
//! Whoever reaches the port can ask, and so hold places of a team for [`ledger::HOLD`]: let nothing but the API server
//! reach it where that matters.

pub mod certificate;
pub mod ledger;
pub mod quota;
pub mod review;
pub mod server;
pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::post;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutLayer;

use crate::backoff::jitter;
use crate::metrics::Metrics;
use certificate::Keeper;
use ledger::Ledger;
use review::Judge;
use view::View;

/// Where the API server asks.
pub const PATH: &str = "/v1/admit";
/// Largest question: an object of the largest size twice, and its surroundings.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Longest answer; shorter than the API server waits.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a start waits for the first certificate and for what the cluster holds.
const FIRST: Duration = Duration::from_secs(10);
/// How often it is looked whether all is listed.
const LOOK: Duration = Duration::from_millis(50);
/// How often accounts in which nothing stands are removed.
const SWEEP: Duration = Duration::from_mins(10);

/// How admission is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names that the API server reaches it by.
    pub hosts: Vec<String>,
    /// The webhook configuration whose authorities are kept.
    pub configuration: String,
    /// Namespace of the Secret and of the accounts.
    pub namespace: String,
    /// Whether the namespaces of teams are known.
    pub team_namespaces: bool,
    /// Name of the price book that budgets go by, and the namespace of the brokers; of all where absent.
    pub prices: Option<(String, Option<String>)>,
}

/// Admission that was started, and may not be ready yet.
pub struct Started {
    judge: Arc<Judge>,
    tls: watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
}

impl Started {
    /// Waits until requests can be judged, a while at most: a replica that is not ready for this is not asked, but one
    /// that waits for a webhook configuration which never comes must do its other work.
    pub async fn ready(mut self) {
        let both = async {
            while !self.judge.view.is_ready().await {
                tokio::time::sleep(LOOK).await;
            }
            self.tls.wait_for(Option::is_some).await.is_ok()
        };
        if tokio::time::timeout(FIRST, both).await.is_err() {
            tracing::warn!("admission is not ready yet; going on without it");
        }
    }
}

/// Starts watches, certificate and server; they end with `stop`.
pub async fn start(
    tasks: &mut JoinSet<()>,
    client: Client,
    settings: Settings,
    metrics: Metrics,
    stop: &CancellationToken,
) -> Result<Started, std::io::Error> {
    let listener = TcpListener::bind(settings.listen).await?;
    tracing::info!(address = %settings.listen, "admission: listening");
    let namespace = settings.namespace.as_str();
    let judge = Arc::new(Judge {
        view: View::start(
            client.clone(),
            settings.team_namespaces,
            settings.prices.as_ref(),
            tasks,
            stop,
        ),
        ledger: Ledger::new(client.clone(), namespace),
        metrics,
    });
    let (served, tls) = watch::channel(None);
    let keeper = Keeper::new(client, namespace, &settings.configuration, settings.hosts);
    tasks.spawn(keeper.keep(served, stop.clone()));
    tasks.spawn(sweep(judge.clone(), stop.clone()));
    let router = app(judge.clone());
    tasks.spawn(server::serve(listener, router, tls.clone(), stop.clone()));
    Ok(Started { judge, tls })
}

/// The routes.
pub fn app(judge: Arc<Judge>) -> Router {
    Router::new()
        .route(PATH, post(review::admit))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            ANSWER,
        ))
        .with_state(judge)
}

async fn sweep(judge: Arc<Judge>, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(jitter(SWEEP)))
        .await
        .is_some()
    {
        if let Err(error) = judge.ledger.sweep().await {
            tracing::warn!(%error, "accounts of quotas are not swept");
        }
    }
}

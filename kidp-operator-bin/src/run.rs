//! The process: what is started in which order, and how it ends.
//!
//! Servers first, so that probes and callbacks are answered while this replica stands by. Then the lease. Then
//! watches, and when the caches are complete, controllers. At the end the controllers finish what is under way,
//! within bounds, the lease is released, and the servers go last.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kidp_core::clock::Clock;
use kube::runtime::reflector::store::WriterDropped;
use rand::RngExt;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff::Attempts;
use crate::broker::{Connections, HealthBoard, OrphanBoard, OwnCredentials};
use crate::cache::{Caches, Writers, caches};
use crate::config::Config;
use crate::context::Context;
use crate::controllers::{Scope, start_controllers, start_watches};
use crate::costs::Costs;
use crate::costs::access::Access;
use crate::costs::server::{self, CostServer};
use crate::leader::Candidate;
use crate::metrics::{self, Metrics};
use crate::placements::Placements;
use crate::probes::{self, Probes, Stage};
use crate::queues::{Queues, Receivers, queues};
use crate::receiver::{self, Receiver};
use crate::{admission, events, tenancy};

/// How long the servers get to finish answers at the end.
const SERVER_DRAIN: Duration = Duration::from_secs(2);

/// Why the operator cannot run, or could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// No usable kubeconfig or service account, or an unusable API server address in it.
    #[error("cannot reach the management cluster: {0}")]
    Cluster(#[source] Box<kube::Error>),
    /// The kubeconfig cannot be read.
    #[error("cannot find the management cluster: {0}")]
    Kubeconfig(#[from] kube::config::InferConfigError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Http(#[from] kidp_callback::http::ClientError),
    /// The authorities of brokers cannot be read.
    #[error("--broker-ca-file: {0}")]
    BrokerCa(#[source] std::io::Error),
    /// An address cannot be listened at. Choose another.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
    /// Another replica took over. The process must end, and be started anew to stand by.
    #[error("the lease was lost")]
    LeaseLost,
    /// A watch or controller ended, which it never should. The process must be started anew.
    #[error("a watch or controller ended unexpectedly")]
    TaskEnded,
}

/// Runs the operator until a signal, or until it cannot go on.
pub async fn run(config: Config) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    run_until(config, stop).await
}

/// Runs the operator until `stop`, or until it cannot go on.
pub async fn run_until(config: Config, stop: CancellationToken) -> Result<(), RunError> {
    let http = kidp_callback::http::client(config.broker_timeout())?;
    let kube = kube::Config::infer().await?;
    let client = kube::Client::try_from(kube).map_err(|error| RunError::Cluster(Box::new(error)))?;
    let (caches, mut writers) = caches();
    let costs = config.price_book.as_deref().map(|book| {
        let (costs, stores) = Costs::new(book, config.watch_namespace.clone(), config.usage_retention());
        writers.costs = Some(stores);
        costs
    });
    let (queues, receivers) = queues();
    let (stage, stage_seen) = watch::channel(Stage::Starting);
    let (leading, leading_seen) = watch::channel(false);

    let servers_stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let metrics = Metrics::default();
    if let Some(costs) = costs.clone() {
        let access = Access::new(client.clone());
        let server = CostServer::new(
            costs,
            caches.clone(),
            access,
            Clock::system(),
            leading_seen.clone(),
        );
        serve(
            &mut servers,
            config.costs_listen,
            server::app(server),
            &servers_stop,
        )
        .await?;
    }
    let receiver = Receiver::new(caches.clone(), queues.clone(), leading_seen).with_metrics(metrics.clone());
    serve(
        &mut servers,
        config.callback_listen,
        receiver::app(receiver),
        &servers_stop,
    )
    .await?;
    let probes = Probes::new(client.clone(), stage_seen);
    serve(
        &mut servers,
        config.health_listen,
        probes::app(probes).merge(metrics::app(&metrics, caches.clone())),
        &servers_stop,
    )
    .await?;

    if let Some(settings) = config.admission() {
        let address = settings.listen;
        let started = admission::start(
            &mut servers,
            client.clone(),
            settings,
            metrics.clone(),
            &servers_stop,
        )
        .await
        .map_err(|source| RunError::Listen { address, source })?;
        stop.run_until_cancelled(started.ready()).await;
    }

    let own = own_credentials(&config)?;
    let ctx = Arc::new(Context {
        costs,
        ..context(client, &config, caches, metrics, http, own)
    });
    let work = Work {
        writers,
        queues,
        receivers,
        stage,
        leading,
    };
    let result = lead(&config, &ctx, work, &stop).await;
    servers_stop.cancel();
    drain(&mut servers, SERVER_DRAIN).await;
    result
}

struct Work {
    writers: Writers,
    queues: Queues,
    receivers: Receivers,
    stage: watch::Sender<Stage>,
    leading: watch::Sender<bool>,
}

fn own_credentials(config: &Config) -> Result<OwnCredentials, RunError> {
    let authorities = config.broker_ca_file.as_ref().map(std::fs::read).transpose();
    Ok(OwnCredentials {
        token_file: config.broker_token_file.clone(),
        authorities: authorities.map_err(RunError::BrokerCa)?,
    })
}

fn context(
    client: kube::Client,
    config: &Config,
    caches: Caches,
    metrics: Metrics,
    http: reqwest::Client,
    own: OwnCredentials,
) -> Context {
    if config.callback_url.is_none() {
        tracing::warn!("no --callback-url: brokers cannot call back, and progress is seen by polling only");
    }
    Context {
        caches,
        waits: config.waits(),
        team_namespaces: config.team_namespaces,
        callback_url: config.callback_url.as_ref().map(ToString::to_string),
        connections: Connections::new(http.into(), client.clone(), config.broker_timeout(), own)
            .with_metrics(metrics.clone()),
        clock: Clock::system(),
        health: HealthBoard::default(),
        orphans: OrphanBoard::new(config.orphans()),
        placements: Placements::default(),
        polls: Attempts::default(),
        failures: Attempts::default(),
        metrics,
        costs: None,
        recorder: events::recorder(client.clone(), config),
        client,
    }
}

/// Works while this replica leads.
async fn lead(
    config: &Config,
    ctx: &Arc<Context>,
    work: Work,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    if !config.leader_elect {
        return operate(config, ctx, work, stop).await;
    }
    let me = config.identity.clone().unwrap_or_else(random_identity);
    let mut candidate = Candidate::new(ctx.client.clone(), &config.namespace, me.clone());
    work.stage.send_replace(Stage::StandingBy);
    tracing::info!(identity = %me, "standing by for the lease");
    if !candidate.campaign(stop).await {
        return Ok(());
    }
    tracing::info!(identity = %me, "leading");
    // At an orderly end the lease is held until all work is done. When it is lost, all work is dropped at once: the
    // next leader starts a few seconds later.
    let result = tokio::select! {
        result = operate(config, ctx, work, stop) => result,
        () = candidate.hold() => return Err(RunError::LeaseLost),
    };
    candidate.release().await;
    result
}

fn random_identity() -> String {
    format!("kidp-operator-{:016x}", rand::rng().random::<u64>())
}

/// Runs watches and controllers until `stop`, then lets them finish.
async fn operate(
    config: &Config,
    ctx: &Arc<Context>,
    work: Work,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    work.stage.send_replace(Stage::Starting);
    let (mut watches, mut controllers) = (JoinSet::new(), JoinSet::new());
    // The watches go on while the controllers finish: a write is followed by the sight of it.
    let watches_stop = CancellationToken::new();
    let scope = Scope {
        all: config.watch_namespace.clone(),
        brokers: config.broker_namespace.clone(),
    };
    start_watches(
        &mut watches,
        ctx,
        work.writers,
        &work.queues,
        &scope,
        &watches_stop,
    );
    let listed = tokio::select! {
        () = stop.cancelled() => false,
        ready = listed(ctx) => ready.is_ok(),
    };
    if listed {
        start_controllers(&mut controllers, ctx, work.receivers, config.concurrency, stop);
        work.leading.send_replace(true);
        ctx.metrics.leads(true);
        work.stage.send_replace(Stage::Working);
        tracing::info!("caches complete, working");
    }
    let orderly = tokio::select! {
        biased;
        () = stop.cancelled() => true,
        _ = watches.join_next() => false,
        _ = controllers.join_next() => false,
    };
    work.stage.send_replace(Stage::Stopping);
    work.leading.send_replace(false);
    ctx.metrics.leads(false);
    if orderly {
        drain(&mut controllers, config.drain()).await;
    }
    watches_stop.cancel();
    drain(&mut watches, tenancy::DEBOUNCE).await;
    if orderly { Ok(()) } else { Err(RunError::TaskEnded) }
}

/// Waits until everything that is watched was listed once.
async fn listed(ctx: &Context) -> Result<(), WriterDropped> {
    ctx.caches.wait_until_ready().await?;
    match &ctx.costs {
        Some(costs) => costs.wait_until_ready().await,
        None => Ok(()),
    }
}

/// Waits for tasks to end, and stops those that take longer.
async fn drain(tasks: &mut JoinSet<()>, limit: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!(left = tasks.len(), "stopping what did not finish in time");
        tasks.shutdown().await;
    }
}

async fn serve(
    servers: &mut JoinSet<()>,
    address: std::net::SocketAddr,
    app: Router,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(%address, "listening");
    let stop = stop.clone();
    servers.spawn(async move {
        let served = axum::serve(listener, app)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%address, %error, "server ended");
        }
    });
    Ok(())
}

fn stop_on_signals(stop: CancellationToken) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

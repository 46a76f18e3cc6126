//! The controllers, one a kind, and the watches that feed them.
//!
//! They are built on `kube`'s `applier` rather than its `Controller`, since all share one set of watches and each
//! change is routed once, see [`crate::route`].

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kidp_core::crd::{Application, Cache, Database, MessageQueue, Team, Tenant};
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff::jitter;
use crate::cache::Writers;
use crate::context::Context;
use crate::kind::Served;
use crate::kube_io::WriteError;
use crate::queues::{Queues, Receivers};
use crate::watch::{Watched, watch};
use crate::{broker, resource, tenancy};

/// Where the operator looks.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Namespace of everything; all of them when absent.
    pub all: Option<String>,
    /// Namespace of brokers, if another.
    pub brokers: Option<String>,
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Starts the watches; they end with `stop`.
pub fn start_watches(
    tasks: &mut JoinSet<()>,
    ctx: &Context,
    writers: Writers,
    queues: &Queues,
    scope: &Scope,
    stop: &CancellationToken,
) {
    let (all, client) = (scope.all.as_deref(), &ctx.client);
    let brokers = scope.brokers.as_deref().or(all);
    let mut start = Starter {
        tasks,
        ctx,
        queues,
        stop,
    };
    start.watch(api(client, brokers), writers.brokers);
    start.watch(api(client, all), writers.tenants);
    start.watch(api(client, all), writers.teams);
    start.watch(api(client, all), writers.applications);
    start.watch(api(client, all), writers.databases);
    start.watch(api(client, all), writers.caches);
    start.watch(api(client, all), writers.message_queues);
}

struct Starter<'a> {
    tasks: &'a mut JoinSet<()>,
    ctx: &'a Context,
    queues: &'a Queues,
    stop: &'a CancellationToken,
}

impl Starter<'_> {
    fn watch<K: Watched>(&mut self, api: Api<K>, writer: kube::runtime::reflector::store::Writer<K>) {
        let (caches, queues, stop) = (self.ctx.caches.clone(), self.queues.clone(), self.stop.clone());
        self.tasks.spawn(watch(api, writer, caches, queues, stop));
    }
}

/// Starts the controllers. After `stop` each finishes what is under way and ends.
pub fn start_controllers(
    tasks: &mut JoinSet<()>,
    ctx: &Arc<Context>,
    receivers: Receivers,
    concurrency: u16,
    stop: &CancellationToken,
) {
    let plain = Config::default().concurrency(concurrency);
    let debounced = plain.clone().debounce(tenancy::DEBOUNCE);
    let c = &ctx.caches;
    serve::<Database>(tasks, ctx, receivers.databases, &plain, stop);
    serve::<Cache>(tasks, ctx, receivers.caches, &plain, stop);
    serve::<MessageQueue>(tasks, ctx, receivers.message_queues, &plain, stop);
    let brokers = (c.brokers.clone(), receivers.brokers, plain, stop.clone());
    tasks.spawn(run(
        brokers,
        broker::reconcile,
        write_error_policy,
        Arc::clone(ctx),
    ));
    let teams = (c.teams.clone(), receivers.teams, debounced.clone(), stop.clone());
    tasks.spawn(run(
        teams,
        tenancy::reconcile::<Team>,
        write_error_policy,
        Arc::clone(ctx),
    ));
    let tenants = (
        c.tenants.clone(),
        receivers.tenants,
        debounced.clone(),
        stop.clone(),
    );
    tasks.spawn(run(
        tenants,
        tenancy::reconcile::<Tenant>,
        write_error_policy,
        Arc::clone(ctx),
    ));
    let applications = (
        c.applications.clone(),
        receivers.applications,
        debounced,
        stop.clone(),
    );
    tasks.spawn(run(
        applications,
        tenancy::reconcile::<Application>,
        write_error_policy,
        Arc::clone(ctx),
    ));
}

/// Starts the controller of one kind of service.
fn serve<K: Served>(
    tasks: &mut JoinSet<()>,
    ctx: &Arc<Context>,
    queue: mpsc::Receiver<ObjectRef<K>>,
    config: &Config,
    stop: &CancellationToken,
) {
    let store = K::store(&ctx.caches).clone();
    tasks.spawn(run(
        (store, queue, config.clone(), stop.clone()),
        resource::reconcile::<K>,
        resource::error_policy::<K>,
        Arc::clone(ctx),
    ));
}

type Feed<K> = (Store<K>, mpsc::Receiver<ObjectRef<K>>, Config, CancellationToken);

async fn run<K, F, E>(
    (store, queue, config, stop): Feed<K>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F + Send + 'static,
    error_policy: impl Fn(&K, &E, &Context) -> Action + Send + Sync + 'static,
    ctx: Arc<Context>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let queue = futures::stream::unfold(queue, |mut queue| async {
        let key = queue.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(key), queue))
    });
    let queue = queue.take_until(stop.cancelled_owned());
    let reconcile = move |object, ctx| Box::pin(reconcile(object, ctx));
    let error_policy = move |object: Arc<K>, error: &E, ctx: Arc<Context>| error_policy(&object, error, &ctx);
    let results = applier(reconcile, error_policy, ctx, store, queue, config);
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        match result {
            // Reconcilers and error policies log what a person has to know.
            Ok(_) | Err(ControllerError::ReconcilerFailed(..) | ControllerError::ObjectNotFound(_)) => {}
            Err(error) => tracing::error!(kind = %K::kind(&()), %error, "controller"),
        }
    }
}

/// When to look again after a status could not be written.
fn write_error_policy<K>(object: &K, error: &WriteError, ctx: &Context) -> Action
where
    K: Resource<DynamicType = ()>,
{
    match error {
        WriteError::Gone => Action::await_change(),
        WriteError::Conflict => Action::requeue(jitter(ctx.waits.poll_min)),
        WriteError::Api(_) | WriteError::Timeout => {
            let name = object.meta().name.as_deref().unwrap_or_default();
            tracing::warn!(kind = %K::kind(&()), name, %error, "reconcile failed, trying again");
            Action::requeue(jitter(ctx.waits.poll_max))
        }
    }
}

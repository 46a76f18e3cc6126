//! The controllers, one a kind, and the watches that feed them.
//!
//! They are built on `kube`'s `applier` rather than its `Controller`, since all share one set of watches and each
//! change is routed once, see [`crate::route`].

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kidp_core::crd::{Application, Cache, Database, MessageQueue, Tenant};
use kidp_core::labels;
use kube::api::PartialObjectMeta;
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff::jitter;
use crate::cache::Writers;
use crate::context::Context;
use crate::kind::Served;
use crate::kube_io::WriteError;
use crate::metrics::kind_word;
use crate::queues::{Queues, Receivers};
use crate::watch::{Watched, watch, watch_some};
use crate::{broker, cache, costs, resource, tenancy};

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
    start.team_namespaces(writers.namespaces);
    start.watch(api(client, all), writers.tenants);
    start.watch(api(client, all), writers.teams);
    start.watch(api(client, all), writers.applications);
    start.watch(api(client, all), writers.databases);
    start.watch(api(client, all), writers.caches);
    start.watch(api(client, all), writers.message_queues);
    if let Some(costs) = writers.costs {
        start.watch(Api::all(client.clone()), costs.books);
        start.watch(Api::all(client.clone()), costs.records);
    }
}

struct Starter<'a> {
    tasks: &'a mut JoinSet<()>,
    ctx: &'a Context,
    queues: &'a Queues,
    stop: &'a CancellationToken,
}

impl Starter<'_> {
    /// The namespaces of teams, and what is made in them. None where that is not asked for: nothing is known of any then.
    fn team_namespaces(&mut self, writer: Writer<PartialObjectMeta<Namespace>>) {
        if !self.ctx.team_namespaces {
            cache::nothing(writer);
            return;
        }
        let ours = watcher::Config::default().labels(labels::TEAM_UID);
        let (caches, queues, stop) = (self.ctx.caches.clone(), self.queues.clone(), self.stop.clone());
        let (api, metrics) = (Api::all(self.ctx.client.clone()), self.ctx.metrics.clone());
        self.tasks
            .spawn(watch_some((api, ours), writer, caches, queues, metrics, stop));
        self.children::<RoleBinding>();
        self.children::<NetworkPolicy>();
        self.children::<ResourceQuota>();
        self.children::<LimitRange>();
    }

    fn children<K>(&mut self)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (caches, queues, stop) = (self.ctx.caches.clone(), self.queues.clone(), self.stop.clone());
        let api: Api<PartialObjectMeta<K>> = Api::all(self.ctx.client.clone());
        self.tasks
            .spawn(tenancy::team::watch_children(api, caches, queues, stop));
    }

    fn watch<K: Watched>(&mut self, api: Api<K>, writer: Writer<K>) {
        let (caches, queues, stop) = (self.ctx.caches.clone(), self.queues.clone(), self.stop.clone());
        let metrics = self.ctx.metrics.clone();
        self.tasks
            .spawn(watch(api, writer, caches, queues, metrics, stop));
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
    if ctx.costs.is_some() {
        tasks.spawn(costs::sweep::run(Arc::clone(ctx), stop.clone()));
    }
    let brokers = (c.brokers.clone(), receivers.brokers, plain, stop.clone());
    tasks.spawn(run(
        brokers,
        |broker, ctx| measured(broker::reconcile, broker, ctx),
        write_error_policy,
        Arc::clone(ctx),
    ));
    let teams = (c.teams.clone(), receivers.teams, debounced.clone(), stop.clone());
    tasks.spawn(run(
        teams,
        |team, ctx| measured(tenancy::team::reconcile, team, ctx),
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
        |tenant, ctx| measured(tenancy::reconcile::<Tenant>, tenant, ctx),
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
        |application, ctx| measured(tenancy::reconcile::<Application>, application, ctx),
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

/// A look at an object of a kind that has no traces, measured. One at a service is measured in its trace, see
/// [`resource::reconcile`].
async fn measured<K, F, E>(
    reconcile: impl FnOnce(Arc<K>, Arc<Context>) -> F,
    object: Arc<K>,
    ctx: Arc<Context>,
) -> Result<Action, E>
where
    K: Resource<DynamicType = ()>,
    F: Future<Output = Result<Action, E>>,
{
    let metrics = ctx.metrics.clone();
    metrics.measured(kind_word::<K>(), reconcile(object, ctx)).await
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
        WriteError::Api(_) | WriteError::Timeout | WriteError::Unserialisable(_) => {
            let name = object.meta().name.as_deref().unwrap_or_default();
            tracing::warn!(kind = %K::kind(&()), name, %error, "reconcile failed, trying again");
            Action::requeue(jitter(ctx.waits.poll_max))
        }
    }
}

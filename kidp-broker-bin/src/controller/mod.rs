//! The controller: makes the cluster hold what the records ask for.
//!
//! # Flow
//! ```text
//!  ServiceInstance, its objects' events, timers
//!        │
//!        v
//!  tombstone, changes, place ─> dereference ─> validate ─> provision or sync ─> observe ─> status ─> outbox
//!        │  deletionTimestamp
//!        └────> cleanup ─> remove the finalizer ─> farewell callback
//! ```
//! One module a step. [`status::next`], which decides what is worth writing, is pure.
//!
//! # Guarantees
//! - Level-triggered: a reconcile looks at the record and the cluster, never at what happened before it, so a
//!   crash at any point is followed by the same result.
//! - No writes in steady state, and two for a new instance: the status `Ready`, and the end of its callback. A changed
//!   spec takes one more, which says what it changes.
//! - A spec that cannot be served is reported, and never keeps an instance from being removed.
//!
//! # Caveats
//! The status is written with the resource version it was decided on; a reconcile of a stale record fails with
//! a conflict and runs again. How long an instance has been unsettled is kept in memory only, so a restart
//! makes the first report of slow progress come later.

mod adopt;
mod binding;
mod changes;
mod cleanup;
mod dereference;
mod events;
mod fights;
mod memory;
mod outbox;
pub mod places;
mod provision;
pub mod status;
pub mod sync;
mod validate;
mod watches;
mod write;

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kidp_callback::{Sender, UrlPolicy};
use kidp_core::clock::Clock;
use kidp_core::crd::{Phase, ServiceInstance};
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::instance::DeletionPolicy;
use kidp_core::labels;
use kidp_core::trace::TraceParent;
use kidp_provisioners::Registry;
use kidp_provisioners::apply::{ApplyError, Options};
use kidp_telemetry::span;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::events::Recorder;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::features::Features;
use crate::metrics::{self, Metrics};
use crate::tombstones::Tombstones;
use crate::{record, records, view};
use fights::Fights;
use memory::Memory;
use outbox::Outbox;
use places::Places;
use status::Verdict;
use sync::Report;

/// Longest wait for one request of an apply.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that one reconcile takes.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);
/// When an instance on its way is looked at again, if no event comes first.
const POLL: Duration = Duration::from_secs(3);
/// The same for one that failed: it may recover by itself, as when an image is pushed.
const POLL_FAILED: Duration = Duration::from_secs(15);
/// When a settled instance is looked at for drift that no watch tells of, plus up to a fifth.
const SWEEP: Duration = Duration::from_mins(5);
/// The same for one with objects that are not watched: drift is found within a minute.
const SWEEP_UNWATCHED: Duration = Duration::from_secs(45);

/// What reconciles share.
pub struct Context {
    broker: String,
    client: Client,
    registry: Registry,
    features: Features,
    options: Options,
    memory: Memory,
    fights: Fights,
    recorder: Recorder,
    outbox: Arc<Outbox>,
    clock: Clock,
    metrics: Metrics,
    shutdown: CancellationToken,
    /// Set when the controller runs; without it nothing is queued.
    places: OnceLock<Places>,
    tombstones: OnceLock<Tombstones>,
}

/// What limits the controller.
pub struct Limits {
    /// Most instances that are worked on at once.
    pub concurrency: u16,
    /// Most instances of a namespace that are made at once.
    pub per_namespace: u16,
    /// What was removed for good and is not to be made again.
    pub tombstones: Tombstones,
}

impl Context {
    /// A context for the records of the broker of this name; it stops what it started when `shutdown` is cancelled,
    /// and goes by the clock of `sender`.
    pub fn new(
        broker: &str,
        client: Client,
        registry: Registry,
        features: Features,
        sender: Sender,
        callback_urls: UrlPolicy,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let options = Options {
            field_manager: BROKER_FIELD_MANAGER.to_owned(),
            timeout: APPLY_TIMEOUT,
        };
        let clock = sender.clock().clone();
        let recorder = events::recorder(client.clone(), broker);
        let metrics = Metrics::default();
        let outbox = Outbox::new(
            client.clone(),
            sender,
            callback_urls,
            metrics.clone(),
            shutdown.clone(),
        );
        Arc::new(Self {
            broker: broker.to_owned(),
            client,
            registry,
            features,
            options,
            memory: Memory::default(),
            fights: Fights::default(),
            recorder,
            outbox,
            clock,
            metrics,
            shutdown,
            places: OnceLock::new(),
            tombstones: OnceLock::new(),
        })
    }

    /// What is counted.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Makes nothing that these cover. [`run`] does it with those of its limits; this is for who drives reconciles by
    /// other means.
    pub fn heed(&self, tombstones: Tombstones) {
        self.tombstones.get_or_init(|| tombstones);
    }
}

/// Why a reconcile did not end. Every one is tried again, ever later.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// Objects could not be applied, read or removed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The record could not be written.
    #[error("writing the record: {0}")]
    Record(#[from] Box<kube::Error>),
    /// The record has changed since it was read. The next event brings the new one.
    #[error("the record has changed meanwhile")]
    Stale,
    /// It took too long.
    #[error("no end within {} s", RECONCILE_TIMEOUT.as_secs())]
    Timeout,
}

impl ReconcileError {
    /// For a metric's label.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Timeout => "timeout",
            Self::Apply(_) | Self::Record(_) => "error",
        }
    }
}

/// Runs the controllers of instances and of bindings until the context's token is cancelled and what runs has ended.
pub async fn run(context: Arc<Context>, limits: Limits) {
    futures::join!(
        binding::run(context.clone(), limits.concurrency),
        run_instances(context, limits)
    );
}

async fn run_instances(context: Arc<Context>, limits: Limits) {
    let records: Api<ServiceInstance> = Api::all(context.client.clone());
    let sets: Api<StatefulSet> = Api::all(context.client.clone());
    let ours = format!("{}={}", labels::MANAGED_BY_KEY, labels::MANAGED_BY);
    let stop = context.shutdown.clone();
    let controller = Controller::new(records, watcher::Config::default());
    context
        .places
        .get_or_init(|| Places::new(controller.store(), limits.per_namespace));
    context.heed(limits.tombstones);
    context.metrics.watch(controller.store());
    let metrics = &context.metrics;
    watches::all(controller, &context.client)
        .owns(sets, watcher::Config::default().labels(&ours))
        .with_config(Config::default().concurrency(limits.concurrency))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(reconcile, error_policy, context.clone())
        .for_each(move |outcome| async move {
            // Errors of reconciles are logged in the error policy; what is left are errors of the watches.
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = outcome {
                metrics.watch_failed();
                tracing::warn!(%error, "watch");
            }
        })
        .await;
    context.outbox.drain().await;
}

/// Looks at one record and takes it as far as it goes.
pub async fn reconcile(
    record: Arc<ServiceInstance>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    if !record::belongs_to(&context.broker, &record) {
        return Ok(Action::await_change());
    }
    let work = async {
        if record::is_deleting(&record) {
            cleanup::cleanup(&record, &context).await
        } else {
            converge(&record, &context).await
        }
    };
    let (began, span) = (Instant::now(), span_of(&record));
    let done = tokio::time::timeout(RECONCILE_TIMEOUT, work.instrument(span.clone())).await;
    let done = done.unwrap_or(Err(ReconcileError::Timeout));
    let outcome = done.as_ref().map_or_else(ReconcileError::outcome, |_| "ok");
    let (metrics, took) = (&context.metrics, began.elapsed());
    span.in_scope(|| metrics.reconciled(operation(&record), outcome, took));
    let action = done?;
    context.memory.succeeded(&key(&record));
    Ok(action)
}

/// The span of a reconcile, in the trace of the request that the record's spec came with. While there is something to do
/// for that request the span is recorded; afterwards it is there for the log lines only, so that a trace ends.
fn span_of(record: &ServiceInstance) -> Span {
    let operation = operation(record);
    let named = record.uid().unwrap_or_default();
    let of_record = || TraceParent::of_generation(&named, record.metadata.generation.unwrap_or_default());
    let parent = record::trace(record).unwrap_or_else(of_record);
    let is_recorded = parent.is_sampled() && operation == "apply" && !has_failed(record);
    let deployment = record.spec.deployment_id.as_str();
    let generation = record.spec.resource_generation;
    let span = tracing::error_span!(target: span::TARGET, "reconcile", deployment, generation, operation);
    span::within(span, Some(parent.sampled(is_recorded)))
}

/// Whether what the record asks for now is known to have failed.
fn has_failed(record: &ServiceInstance) -> bool {
    let status = record.status.as_ref();
    status.is_some_and(|status| {
        status.phase == Phase::Failed && status.observed_generation == record.metadata.generation
    })
}

/// What a reconcile of a record does.
fn operation(record: &ServiceInstance) -> &'static str {
    if record::is_deleting(record) {
        "remove"
    } else if sync::is_applied(record) {
        "sweep"
    } else {
        "apply"
    }
}

async fn converge(record: &ServiceInstance, context: &Context) -> Result<Action, ReconcileError> {
    if entombed(record, context).await? {
        return Ok(Action::await_change());
    }
    let announced = changes::announce(record, context).await?;
    let record = announced.as_ref().unwrap_or(record);
    let places = context.places.get();
    let queued = places.and_then(|places| places.ask(&context.broker, record, &context.memory));
    let (verdict, report) = match queued {
        Some(queued) => (queued, None),
        None => judge(record, context).await?,
    };
    let unsettled = context
        .memory
        .unsettled(&key(record), matches!(verdict, Verdict::Progressing(_)));
    let next = status::next(record, &verdict, report.as_ref(), context.clock.now(), unsettled);
    match next {
        Some(next) => {
            let written = status::write(&context.client, record, next).await?;
            note_ready(record, &written, context);
            if let Some(report) = &report {
                let (engine, now) = (record.spec.instance.engine, context.clock.now());
                for change in status::newly_left(record, report) {
                    context.metrics.drift(engine, metrics::Action::Left, change);
                    context.metrics.drift_found(metrics::Action::Left, change, now);
                }
                events::drift(&context.recorder, record, &written, report).await;
            }
            context.outbox.ensure(&written);
        }
        None => context.outbox.ensure(record),
    }
    Ok(Action::requeue(match verdict {
        Verdict::Ready(_) => {
            let sweep = sweep(record);
            let soon = report.and_then(|report| report.look_again()).unwrap_or(sweep);
            soon.min(sweep + sweep.mul_f64(rand::random::<f64>() / 5.0))
        }
        Verdict::Progressing(_) | Verdict::Queued(_) => POLL,
        Verdict::Failed { .. } => POLL_FAILED,
    }))
}

/// Notes how long an instance took that has just become usable for the first time.
fn note_ready(before: &ServiceInstance, after: &ServiceInstance, context: &Context) {
    let is_first = is_first_ready(before, after);
    if let Some(created) = before.creation_timestamp().filter(|_| is_first) {
        let (spec, now) = (&before.spec.instance, context.clock.now());
        context
            .metrics
            .became_ready(spec.engine, spec.size, created.0, now);
    }
}

/// Whether an instance has become as it was asked for, and never was before.
fn is_first_ready(before: &ServiceInstance, after: &ServiceInstance) -> bool {
    let was = |record: &ServiceInstance| record.status.as_ref().is_some_and(|s| s.applied.is_some());
    was(after) && !was(before)
}

/// When drift is looked for that no watch tells of.
fn sweep(record: &ServiceInstance) -> Duration {
    let spec = &record.spec.instance;
    // Kinds of CloudNativePG, cert-manager and the Prometheus Operator are not everywhere, and not watched.
    if spec.high_availability || spec.encryption.in_transit || spec.monitoring.enabled {
        SWEEP_UNWATCHED
    } else {
        SWEEP
    }
}

/// Removes a record that nothing was done for yet and whose removal was confirmed already: its request was delayed on
/// the way, and slipped in between the removal's look at the records and its own at the tombstones.
async fn entombed(record: &ServiceInstance, context: &Context) -> Result<bool, ReconcileError> {
    let Some(tombstones) = context.tombstones.get() else {
        return Ok(false);
    };
    let began = record.status.is_some() || context.memory.age(&key(record)).is_some();
    if began || !tombstones.covers(&record.spec).await.map_err(Box::new)? {
        return Ok(false);
    }
    if owns::<NetworkPolicy>(record, context).await? || owns::<StatefulSet>(record, context).await? {
        // Begun before a restart of this process; the removal that set the tombstone is on its way.
        return Ok(false);
    }
    tracing::warn!(
        id = record.name_any(),
        "a request from before the removal came late"
    );
    let api: Api<ServiceInstance> =
        Api::namespaced(context.client.clone(), &record.namespace().unwrap_or_default());
    // What an earlier instance of its name left behind is not its to remove, whatever its own spec says.
    match records::delete_as_seen(&api, record.clone(), Some(DeletionPolicy::Retain)).await {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(ReconcileError::Stale),
        Err(error) => Err(Box::new(error).into()),
    }
}

/// Whether an object of a kind was made for this record. What an earlier record of the same id left behind has no owner.
async fn owns<K>(record: &ServiceInstance, context: &Context) -> Result<bool, ReconcileError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &record.namespace().unwrap_or_default());
    let id = format!("{}={}", labels::DEPLOYMENT_ID, record.spec.deployment_id);
    let made = api.list(&ListParams::default().labels(&id)).await;
    Ok(made
        .map_err(Box::new)?
        .iter()
        .any(|object| record::is_owner(record, object)))
}

/// Does what there is to do, and says how far the instance is.
async fn judge(
    record: &ServiceInstance,
    context: &Context,
) -> Result<(Verdict, Option<Report>), ReconcileError> {
    let subject = match dereference::dereference(record, &context.registry, context.features.current()) {
        Ok(subject) => subject,
        Err(refusal) => return Ok((refusal, None)),
    };
    if let Err(refusal) = validate::validate(&subject) {
        return Ok((refusal, None));
    }
    if let Some(verdict) = adopt::settle(record, &subject, context).await? {
        return Ok((verdict, None));
    }
    if !sync::is_applied(record) {
        return Ok(match provision::provision(&subject, context).await? {
            // What was just applied as a whole is in sync.
            Ok(()) => (
                provision::observe(&subject, context).await?,
                Some(Report::default()),
            ),
            Err(Verdict::Failed { reason, .. }) if reason == provision::ADOPTION_STALE => {
                (adopt::forget(record, context).await?, None)
            }
            Err(refusal) => (refusal, None),
        });
    }
    let report = match provision::remediate(record, &subject, context).await? {
        Ok(report) => report,
        Err(refusal) => return Ok((refusal, None)),
    };
    let verdict = match provision::observe(&subject, context).await {
        // What may not be read says nothing against an instance that was usable.
        Err(_) if !report.unknown.is_empty() && view::is_usable(view::phase(record)) => {
            Verdict::Ready(subject.provisioner.connection(&subject.instance))
        }
        verdict => verdict?,
    };
    Ok((verdict, Some(report)))
}

/// When to look again after a reconcile that failed.
#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub fn error_policy(record: Arc<ServiceInstance>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let pause = context.memory.failed(&key(&record));
    if matches!(error, ReconcileError::Stale) {
        tracing::debug!(id = record.name_any(), "the record has changed meanwhile");
    } else {
        tracing::warn!(id = record.name_any(), %error, pause_ms = pause.as_millis(), "reconcile failed");
    }
    Action::requeue(pause)
}

fn key(record: &ServiceInstance) -> String {
    record.uid().unwrap_or_else(|| record.name_any())
}

#[cfg(test)]
mod tests;

//! The controller: makes the cluster hold what the records ask for.
//!
//! # Flow
//! ```text
//!  ServiceInstance, StatefulSet events, timers
//!        │
//!        v
//!  dereference ─> validate ─> provision ─> observe ─> status ─> outbox
//!        │  deletionTimestamp
//!        └────> cleanup ─> remove the finalizer ─> farewell callback
//! ```
//! One module a step. [`status::next`], which decides what is worth writing, is pure.
//!
//! # Guarantees
//! - Level-triggered: a reconcile looks at the record and the cluster, never at what happened before it, so a
//!   crash at any point is followed by the same result.
//! - No writes in steady state, and two for a new instance: the status `Ready`, and the end of its callback.
//! - A spec that cannot be served is reported, and never keeps an instance from being removed.
//!
//! # Caveats
//! The status is written with the resource version it was decided on; a reconcile of a stale record fails with
//! a conflict and runs again. How long an instance has been unsettled is kept in memory only, so a restart
//! makes the first report of slow progress come later.

mod cleanup;
mod dereference;
mod memory;
mod outbox;
mod provision;
pub mod status;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use kidp_callback::{Sender, UrlPolicy};
use kidp_core::crd::ServiceInstance;
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::labels;
use kidp_provisioners::Registry;
use kidp_provisioners::apply::{ApplyError, Options};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::record;
use memory::Memory;
use outbox::Outbox;
use status::Verdict;

/// Longest wait for one request of an apply.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that one reconcile takes.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);
/// When an instance on its way is looked at again, if no event comes first.
const POLL: Duration = Duration::from_secs(3);
/// The same for one that failed: it may recover by itself, as when an image is pushed.
const POLL_FAILED: Duration = Duration::from_secs(15);
/// When a settled instance is looked at for drift, plus up to a fifth.
const SWEEP: Duration = Duration::from_mins(5);

/// What reconciles share.
pub struct Context {
    broker: String,
    client: Client,
    registry: Registry,
    options: Options,
    memory: Memory,
    outbox: Arc<Outbox>,
    shutdown: CancellationToken,
}

impl Context {
    /// A context for the records of the broker of this name; it stops what it started when `shutdown` is cancelled.
    pub fn new(
        broker: &str,
        client: Client,
        registry: Registry,
        sender: Sender,
        callback_urls: UrlPolicy,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let options = Options {
            field_manager: BROKER_FIELD_MANAGER.to_owned(),
            timeout: APPLY_TIMEOUT,
        };
        let outbox = Outbox::new(client.clone(), sender, callback_urls, shutdown.clone());
        Arc::new(Self {
            broker: broker.to_owned(),
            client,
            registry,
            options,
            memory: Memory::default(),
            outbox,
            shutdown,
        })
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

/// Runs the controller until the context's token is cancelled and what runs has ended.
pub async fn run(context: Arc<Context>, concurrency: u16) {
    let records: Api<ServiceInstance> = Api::all(context.client.clone());
    let sets: Api<StatefulSet> = Api::all(context.client.clone());
    let ours = format!("{}={}", labels::MANAGED_BY_KEY, labels::MANAGED_BY);
    let stop = context.shutdown.clone();
    Controller::new(records, watcher::Config::default())
        .owns(sets, watcher::Config::default().labels(&ours))
        .with_config(Config::default().concurrency(concurrency))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(reconcile, error_policy, context.clone())
        .for_each(|outcome| async move {
            // Errors of reconciles are logged in the error policy; what is left are errors of the watches.
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = outcome {
                tracing::warn!(%error, "watch");
            }
        })
        .await;
    context.outbox.drain().await;
}

async fn reconcile(record: Arc<ServiceInstance>, context: Arc<Context>) -> Result<Action, ReconcileError> {
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
    let action = tokio::time::timeout(RECONCILE_TIMEOUT, work)
        .await
        .map_err(|_| ReconcileError::Timeout)??;
    context.memory.succeeded(&key(&record));
    Ok(action)
}

async fn converge(record: &ServiceInstance, context: &Context) -> Result<Action, ReconcileError> {
    let verdict = judge(record, context).await?;
    let unsettled = context
        .memory
        .unsettled(&key(record), matches!(verdict, Verdict::Progressing(_)));
    let next = status::next(record, &verdict, jiff::Timestamp::now(), unsettled);
    match next {
        Some(next) => {
            let written = status::write(&context.client, record, next).await?;
            context.outbox.ensure(&written);
        }
        None => context.outbox.ensure(record),
    }
    Ok(Action::requeue(match verdict {
        Verdict::Ready(_) => SWEEP + SWEEP.mul_f64(rand::random::<f64>() / 5.0),
        Verdict::Progressing(_) => POLL,
        Verdict::Failed { .. } => POLL_FAILED,
    }))
}

/// Does what there is to do, and says how far the instance is.
async fn judge(record: &ServiceInstance, context: &Context) -> Result<Verdict, ReconcileError> {
    let subject = match dereference::dereference(record, &context.registry) {
        Ok(subject) => subject,
        Err(refusal) => return Ok(refusal),
    };
    if let Err(refusal) = validate::validate(&subject) {
        return Ok(refusal);
    }
    if let Err(refusal) = provision::provision(&subject, context).await? {
        return Ok(refusal);
    }
    provision::observe(&subject, context).await
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(record: Arc<ServiceInstance>, error: &ReconcileError, context: Arc<Context>) -> Action {
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

//! Step 6: callbacks that wait in a record's status are sent until they are acknowledged.
//!
//! # Flow
//! [`Outbox::ensure`] starts a task for the record's entry, unless one runs. The task sends rounds with a
//! growing pause between them, and ends when the entry is acknowledged (and removed from the status), refused
//! for good, superseded by a later one, or the record is gone.
//!
//! # Guarantees
//! A callback is durable before it is sent: after a crash the next reconcile finds it in the status.
//! Unsuccessful rounds write nothing. A slow receiver delays no instance: tasks run beside the reconciles, and
//! only so many send at once.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kidp_callback::{Callback, CallbackPhase, Outcome, ReplayGuard, Sender, UrlPolicy, backoff};
use kidp_core::crd::{Phase, ServiceInstance};
use kidp_core::names::short_hash;
use kidp_telemetry::span;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::metrics::Metrics;
use crate::record;
use crate::records::post_params;

/// Most callbacks that are being sent at once.
const SENDING: usize = 16;
/// Tries at removing an acknowledged entry from a record that keeps changing.
const REMOVALS: usize = 5;
/// Longest wait for one answer of the API server.
const API_TIMEOUT: Duration = Duration::from_secs(10);
/// Finished callbacks that are remembered, and for how long: longer than the controller's view of a record lags.
const FINISHED: usize = 10_000;
const FINISHED_FOR: Duration = Duration::from_mins(2);
/// Longest that stopping waits for callbacks; they are in the records.
const DRAIN: Duration = Duration::from_secs(5);

/// Callbacks that need no task: one runs, or has just ended. A reconcile may still see the entry of one that has
/// ended, since its view of the record lags behind.
struct Ids {
    running: HashSet<String>,
    finished: ReplayGuard,
}

/// The sending side of every record's outbox.
pub struct Outbox {
    client: Client,
    sender: Sender,
    allowed: UrlPolicy,
    metrics: Metrics,
    places: Semaphore,
    ids: Mutex<Ids>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Outbox {
    /// An outbox that starts nothing new once `shutdown` is cancelled.
    pub fn new(
        client: Client,
        sender: Sender,
        allowed: UrlPolicy,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            sender,
            allowed,
            metrics,
            places: Semaphore::new(SENDING),
            ids: Mutex::new(Ids {
                running: HashSet::new(),
                finished: ReplayGuard::with_memory(FINISHED, FINISHED_FOR),
            }),
            tasks: TaskTracker::new(),
            shutdown,
        })
    }

    fn now(&self) -> jiff::Timestamp {
        self.sender.clock().now()
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the record's waiting callback, if there is one, is being sent.
    pub fn ensure(self: &Arc<Self>, record: &ServiceInstance) {
        let Some(id) = waiting(record) else { return };
        if self.shutdown.is_cancelled() || !self.ids().begin(&id, self.now()) {
            return;
        }
        let (outbox, record) = (self.clone(), record.clone());
        self.tasks.spawn(async move {
            let finished = tokio::select! {
                finished = outbox.deliver(record, &id) => finished,
                () = outbox.shutdown.cancelled() => false,
            };
            outbox.ids().end(&id, finished, outbox.now());
        });
    }

    /// Tells, once and without insisting, that an instance is gone.
    pub fn farewell(self: &Arc<Self>, record: &ServiceInstance) {
        let parts = [record.spec.deployment_id.as_str(), "Deleted"];
        let id = format!("msg-{}", short_hash(&parts, 32));
        let (outbox, record) = (self.clone(), record.clone());
        let span = span_of(&record, CallbackPhase::Deleted);
        let farewell = async move {
            let callback = compose(&record, CallbackPhase::Deleted, outbox.now());
            let outcome = outbox.send(&record, &id, &callback).await;
            tracing::debug!(?outcome, deployment = %record.spec.deployment_id, "farewell");
        };
        self.tasks.spawn(farewell.instrument(span));
    }

    /// Waits for what is being sent, within bounds.
    pub async fn drain(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(DRAIN, self.tasks.wait()).await;
    }

    /// Sends an entry until there is nothing left to do for it; `false` where it stays in the record.
    async fn deliver(&self, mut record: ServiceInstance, id: &str) -> bool {
        let mut rounds = 0;
        loop {
            let Some(callback) = current(&record, id) else {
                return true;
            };
            let round = self.round(&record, id, &callback);
            let round = round.instrument(span_of(&record, callback.phase));
            if let ControlFlow::Break(finished) = round.await {
                return finished;
            }
            rounds += 1;
            let pause = backoff(rounds, spread(id, rounds));
            let deployment = &record.spec.deployment_id;
            tracing::warn!(%deployment, rounds, pause_s = pause.as_secs(), "callback not acknowledged");
            tokio::time::sleep(pause).await;
            match timed(self.api(&record).get_opt(&record.name_any())).await {
                Ok(Some(latest)) => record = latest,
                Ok(None) => return true,
                Err(error) => tracing::debug!(%error, "the record cannot be read; sending what is known"),
            }
        }
    }

    async fn round(&self, record: &ServiceInstance, id: &str, callback: &Callback) -> ControlFlow<bool> {
        let deployment = &record.spec.deployment_id;
        match self.send(record, id, callback).await {
            Some(Outcome::Acknowledged) => {
                self.metrics.acknowledged(callback.time, self.now());
                tracing::info!(%deployment, phase = ?callback.phase, "callback acknowledged");
                ControlFlow::Break(self.remove(record.clone(), id).await)
            }
            Some(outcome) if !outcome.may_succeed_later() => {
                tracing::warn!(%deployment, ?outcome, "callback refused for good; the operator will poll");
                ControlFlow::Break(self.remove(record.clone(), id).await)
            }
            Some(outcome) => {
                tracing::debug!(%deployment, ?outcome, "callback not acknowledged");
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(false),
        }
    }

    /// One round. `None` where the record names no URL that may be sent to.
    async fn send(&self, record: &ServiceInstance, id: &str, callback: &Callback) -> Option<Outcome> {
        let url = record.spec.callback_url.as_deref()?;
        let url = match self.allowed.check(url) {
            Ok(url) => url,
            Err(fault) => {
                tracing::warn!(deployment = %record.spec.deployment_id, %fault, "callback not sent");
                self.metrics.called_back("not_sent");
                return None;
            }
        };
        let _place = self.places.acquire().await.ok()?;
        let trace = span::current().or_else(|| record::trace(record));
        let outcome = self.sender.send_round_within(trace, &url, id, callback).await;
        self.metrics.called_back(match &outcome {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Rejected(_) => "rejected",
            Outcome::Unreachable(_) => "unreachable",
        });
        Some(outcome)
    }

    /// Removes an entry; answers whether it is gone.
    async fn remove(&self, mut record: ServiceInstance, id: &str) -> bool {
        let api = self.api(&record);
        for _ in 0..REMOVALS {
            let outbox = record.status.as_mut().map(|status| &mut status.outbox);
            let Some(outbox) = outbox.filter(|entries| entries.iter().any(|e| e.id == id)) else {
                return true;
            };
            outbox.retain(|entry| entry.id != id);
            let name = record.name_any();
            let params = post_params();
            match timed(api.replace_subresource("status", &name, &params, &record)).await {
                Ok(_) => return true,
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => tracing::debug!(%error, "an acknowledged callback cannot be removed"),
            }
            match timed(api.get_opt(&record.name_any())).await {
                Ok(Some(latest)) => record = latest,
                Ok(None) => return true,
                Err(error) => tracing::debug!(%error, "the record cannot be read"),
            }
        }
        tracing::warn!(
            id,
            "an acknowledged callback stays in its record and will be sent again"
        );
        false
    }

    fn api(&self, record: &ServiceInstance) -> Api<ServiceInstance> {
        Api::namespaced(self.client.clone(), &record.namespace().unwrap_or_default())
    }
}

/// The span of a round of attempts, in the trace of the request that the record's spec came with.
fn span_of(record: &ServiceInstance, phase: CallbackPhase) -> Span {
    let deployment = record.spec.deployment_id.as_str();
    let span =
        tracing::error_span!(target: span::TARGET, "callback", deployment, ?phase, otel.kind = "client");
    span::within(span, record::trace(record))
}

/// Waits for the API server's answer, not for as long as its client would: an acknowledged callback stays until then.
async fn timed<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let answer = tokio::time::timeout(API_TIMEOUT, call).await;
    answer.unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
}

/// Where in its jitter a callback's pause is, from 0 to 1. Callbacks differ by their ids, so they are spread as by chance,
/// and a run that is repeated is the same run.
fn spread(id: &str, rounds: u32) -> f64 {
    let hash = short_hash(&[id, &rounds.to_string()], 8);
    u32::from_str_radix(&hash, 16).map_or(0.0, |part| f64::from(part) / f64::from(u32::MAX))
}

impl Ids {
    fn begin(&mut self, id: &str, now: jiff::Timestamp) -> bool {
        !self.finished.contains(id, now) && self.running.insert(id.to_owned())
    }

    fn end(&mut self, id: &str, finished: bool, now: jiff::Timestamp) {
        self.running.remove(id);
        if finished {
            self.finished.is_first(id, now);
        }
    }
}

fn waiting(record: &ServiceInstance) -> Option<String> {
    record
        .status
        .as_ref()?
        .outbox
        .last()
        .map(|entry| entry.id.clone())
}

/// The callback of an entry, if the record still has it and is not being deleted.
fn current(record: &ServiceInstance, id: &str) -> Option<Callback> {
    let status = record.status.as_ref()?;
    let entry = status.outbox.iter().find(|entry| entry.id == id)?;
    let phase = match entry.phase {
        Phase::Ready | Phase::DriftDetected => CallbackPhase::Ready,
        Phase::Failed => CallbackPhase::Failed,
        Phase::Deleting => CallbackPhase::Deleting,
        Phase::Pending | Phase::Provisioning | Phase::Suspended => CallbackPhase::Provisioning,
    };
    Some(compose(record, phase, entry.queued_at.0))
}

fn compose(record: &ServiceInstance, phase: CallbackPhase, time: jiff::Timestamp) -> Callback {
    let spec = &record.spec;
    let status = record.status.clone().unwrap_or_default();
    let generation = status.resource_generation.unwrap_or(spec.resource_generation);
    let callback = Callback::new(
        spec.deployment_id.clone(),
        spec.resource_type,
        spec.resource_name.as_str(),
        record.namespace().unwrap_or_default(),
        phase,
        time,
    );
    if phase == CallbackPhase::Deleted {
        return Callback {
            resource_generation: Some(spec.resource_generation),
            ..callback
        };
    }
    Callback {
        resource_generation: Some(generation),
        message: status.message,
        error: status.error,
        endpoint: status.endpoint,
        port: status.port,
        connection_secret: status.connection_secret_ref.map(|r| r.name),
        ..callback
    }
}

#[cfg(test)]
mod tests;

//! What the operator counts, for Prometheus: `GET /metrics` beside the probes.
//!
//! Labels are words of this program, such as a kind or an outcome, and never names of objects, namespaces or brokers:
//! their type takes nothing else. How many objects there are is counted in the caches at each scrape; only the replica
//! that leads fills them.
//!
//! # Assumptions
//! Times between an event at a broker and what follows from it here are differences of two machines' clocks. One that is
//! ahead makes them too short, down to none.

mod currency;
mod news;
mod objects;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use axum::Router;
use jiff::Timestamp;
use kidp_core::crd::Phase;
use kidp_core::instance::Engine;
use kidp_core::size::Size;
#[cfg(test)]
use kidp_telemetry::metrics::Form;
use kidp_telemetry::metrics::{Histograms, Labels, List, Named, Traced, TracedHistograms, seconds};
use kube::Resource;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::cache::{Caches, caches};
use crate::kind::ResourceKey;
use news::News;
use objects::Objects;

/// Seconds of a look at one object: most write nothing and ask a broker at most once.
const LOOKS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0,
];
/// Seconds of an exchange with a broker, or of a judgement.
const EXCHANGES: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds from an event to where it is known; a callback that is not taken comes again for as long as it takes.
const NEWS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
/// Seconds that a person waits for a resource, or a resource for its turn.
const WAITS: [f64; 12] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];

/// The counters; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    leader: Gauge,
    reconciles: TracedHistograms<2>,
    watch_errors: Family<Labels<1>, Counter>,
    transitions: Family<Labels<2>, Counter>,
    time_to_ready: TracedHistograms<2>,
    selections: Family<Labels<2>, Counter>,
    queue_wait: TracedHistograms<1>,
    callbacks: Family<Labels<1>, Counter>,
    callback_latency: Traced,
    status_latency: TracedHistograms<1>,
    broker_requests: TracedHistograms<2>,
    broker_checks: Family<Labels<1>, Counter>,
    admissions: Histograms<2>,
    news: News,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            leader: Gauge::default(),
            reconciles: Family::new_with_constructor(|| Traced::new(LOOKS)),
            watch_errors: Family::default(),
            transitions: Family::default(),
            time_to_ready: Family::new_with_constructor(|| Traced::new(WAITS)),
            selections: Family::default(),
            queue_wait: Family::new_with_constructor(|| Traced::new(WAITS)),
            callbacks: Family::default(),
            callback_latency: Traced::new(NEWS),
            status_latency: Family::new_with_constructor(|| Traced::new(NEWS)),
            broker_requests: Family::new_with_constructor(|| Traced::new(EXCHANGES)),
            broker_checks: Family::default(),
            admissions: Family::new_with_constructor(|| Histogram::new(EXCHANGES)),
            news: News::default(),
        }
    }
}

/// The kind as a label: a name of the program, not of an object. Those that are made up elsewhere are not told apart.
pub fn kind_word<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        Cow::Borrowed(kind) => kind,
        Cow::Owned(_) => "other",
    }
}

impl Metrics {
    /// Whether this replica leads.
    pub fn leads(&self, does: bool) {
        self.leader.set(does.into());
    }

    /// Waits for a look at an object of a kind, and notes how long it took and how it ended.
    pub async fn measured<T, E>(
        &self,
        kind: &'static str,
        look: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let done = look.await;
        let outcome = if done.is_ok() { "ok" } else { "error" };
        self.reconciled(kind, outcome, began.elapsed());
        done
    }

    fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("kind", kind), ("outcome", outcome)];
        self.reconciles.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts an error of a watch; it is begun anew.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&[("kind", kind)]).inc();
    }

    /// Counts a step of a resource into another phase.
    pub fn moved(&self, kind: &'static str, old: Phase, new: Phase) {
        if old != new {
            let labels = [("kind", kind), ("phase", new.as_str())];
            self.transitions.get_or_create(&labels).inc();
        }
    }

    /// Notes that a resource is usable for the first time.
    pub fn became_ready(&self, engine: Engine, size: Size, created: Timestamp, now: Timestamp) {
        let labels = [("engine", engine.as_str()), ("size", size.as_str())];
        let took = seconds(created, now);
        self.time_to_ready.get_or_create(&labels).observe(took);
    }

    /// Counts a choice of a broker for a resource of a kind: `chosen`, or why there is none.
    pub fn selected(&self, kind: &'static str, outcome: &'static str) {
        let labels = [("kind", kind), ("outcome", outcome)];
        self.selections.get_or_create(&labels).inc();
    }

    /// Notes that a resource has a broker for the first time.
    pub fn placed(&self, kind: &'static str, created: Timestamp, now: Timestamp) {
        let waited = seconds(created, now);
        self.queue_wait.get_or_create(&[("kind", kind)]).observe(waited);
    }

    /// Counts a callback: `accepted`, or the reason of its refusal.
    pub fn called_back(&self, outcome: &'static str) {
        self.callbacks.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Notes that a callback on an event at a broker was accepted.
    pub fn accepted(&self, event: Timestamp, now: Timestamp) {
        self.callback_latency.observe(seconds(event, now));
    }

    /// Remembers an event at a broker that no status shows yet.
    pub fn heard(&self, key: ResourceKey, event: Timestamp) {
        self.news.note(key, event);
    }

    /// Forgets the event of a resource, and answers when it was: a look at the resource is about to show it.
    pub fn news(&self, key: &ResourceKey) -> Option<Timestamp> {
        self.news.take(key)
    }

    /// Notes that a status shows what was at a broker.
    pub fn told(&self, kind: &'static str, event: Timestamp, now: Timestamp) {
        let took = seconds(event, now);
        self.status_latency.get_or_create(&[("kind", kind)]).observe(took);
    }

    /// Notes an exchange with a broker.
    pub fn asked_broker(&self, route: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("route", route), ("outcome", outcome)];
        self.broker_requests
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts a check of a broker.
    pub fn checked(&self, outcome: &'static str) {
        self.broker_checks.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Notes how long the judgement of a request took: `allowed`, `refused`, or `error` where none was possible.
    pub fn judged(&self, kind: &'static str, verdict: &'static str, took: Duration) {
        let labels = [("kind", kind), ("verdict", verdict)];
        self.admissions.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// What is registered, and under which names.
impl Metrics {
    fn list(&self, caches: Caches) -> List {
        let mut list = List::new("kidp_operator", env!("CARGO_PKG_VERSION"));
        list.add("leader", "1 on the replica that leads", self.leader.clone());
        self.list_work(&mut list);
        self.list_exchanges(&mut list);
        list.collect(&Objects::NAMES, Box::new(Objects(caches)));
        list
    }

    fn list_work(&self, list: &mut List) {
        list.add(
            "reconcile_duration_seconds",
            "How long looking at one object took",
            self.reconciles.clone(),
        );
        list.add(
            "watch_errors",
            "Watches that ended with an error, and were begun anew",
            self.watch_errors.clone(),
        );
        list.add(
            "phase_transitions",
            "Steps of resources into another phase",
            self.transitions.clone(),
        );
        list.add(
            "time_to_ready_seconds",
            "From the creation of a resource until it was usable for the first time",
            self.time_to_ready.clone(),
        );
        list.add(
            "selections",
            "Choices of a broker, chosen or by the reason why there is none",
            self.selections.clone(),
        );
        list.add(
            "queue_wait_seconds",
            "From the creation of a resource to the choice of its broker",
            self.queue_wait.clone(),
        );
    }

    fn list_exchanges(&self, list: &mut List) {
        list.add(
            "callbacks",
            "Callbacks of brokers, accepted or by the reason of the refusal",
            self.callbacks.clone(),
        );
        list.add(
            "callback_latency_seconds",
            "From an event at a broker to the acceptance of its callback",
            self.callback_latency.clone(),
        );
        list.add(
            "status_latency_seconds",
            "From an event at a broker, of which a callback told, to the status that shows it",
            self.status_latency.clone(),
        );
        list.add(
            "broker_request_duration_seconds",
            "How long exchanges with brokers took",
            self.broker_requests.clone(),
        );
        list.add(
            "broker_checks",
            "Checks of the brokers' health, by what they found",
            self.broker_checks.clone(),
        );
        list.add(
            "admission_duration_seconds",
            "How long the judgement of requests at admission took",
            self.admissions.clone(),
        );
    }
}

/// Every metric that there is, whether something was counted yet or not.
pub fn names() -> Vec<Named> {
    Metrics::default().list(caches().0).into_names()
}

/// `GET /metrics`, with the objects of `caches`.
pub fn app(metrics: &Metrics, caches: Caches) -> Router {
    metrics.list(caches).app()
}

/// What a scrape of the counters would show that asks for exemplars.
#[cfg(test)]
pub(crate) fn shown(metrics: &Metrics) -> String {
    metrics.list(caches().0).text(Form::OpenMetrics).unwrap()
}

#[cfg(test)]
mod tests;

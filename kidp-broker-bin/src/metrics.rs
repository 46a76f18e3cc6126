//! What the broker counts, for Prometheus: `GET /metrics` on a listener of its own, so that who scrapes needs none of the
//! API's credentials and the API shows nothing of it.
//!
//! Labels are words of this program, such as an engine or an outcome, and never names of instances, namespaces or
//! clients: their type takes nothing else. How many instances there are, and what is left of their drift, is counted in
//! the records at each scrape, so that it is right after a restart.

mod records;
mod routes;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use kidp_core::crd::ServiceInstance;
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::instance::Engine;
use kidp_core::size::Size;
use kidp_drift::Change;
#[cfg(test)]
use kidp_telemetry::metrics::Form;
use kidp_telemetry::metrics::{Histograms, Labels, List, Named, Traced, TracedHistograms, seconds};
use kube::runtime::reflector::Store;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::rate_limit::Limit;
use crate::records::Taken;
use records::Instances;

/// Seconds that reconciles take: reads alone take some 10 ms, and the longest is [`RECONCILE_TIMEOUT`].
///
/// [`RECONCILE_TIMEOUT`]: crate::controller
const LOOKS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0,
];
/// Seconds of an answer; the longest is the limit of a request.
const ANSWERS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds until a callback is acknowledged; one that is not comes again for as long as it takes.
const NEWS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
/// Seconds until drift is found. The time of a write is known to the second.
const FINDS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];
/// Seconds until an instance is usable.
const WAITS: [f64; 12] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];
/// The engines that this broker provisions.
const ENGINES: [Engine; 5] = [
    Engine::Postgresql,
    Engine::Mysql,
    Engine::Mongodb,
    Engine::Redis,
    Engine::Rabbitmq,
];

/// What was done about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was put back.
    PutBack,
    /// It was left and told.
    Left,
}

/// The counters; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: TracedHistograms<2>,
    rate_limited: Family<Labels<1>, Counter>,
    provisions: Family<Labels<1>, Counter>,
    reconciles: TracedHistograms<2>,
    watch_errors: Counter,
    time_to_ready: TracedHistograms<2>,
    drift: Family<Labels<3>, Counter>,
    drift_detection: Histograms<1>,
    fights: Family<Labels<1>, Counter>,
    callbacks: Family<Labels<1>, Counter>,
    callback_latency: Traced,
    records: Arc<OnceLock<Store<ServiceInstance>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let (fights, rate_limited) = (
            Family::<Labels<1>, Counter>::default(),
            Family::<Labels<1>, Counter>::default(),
        );
        // Rare: a series that begins with its first event shows no increase at that event.
        for engine in ENGINES {
            drop(fights.get_or_create(&[("engine", engine.as_str())]));
        }
        for limit in Limit::ALL {
            drop(rate_limited.get_or_create(&[("limit", limit.as_str())]));
        }
        Self {
            requests: Family::new_with_constructor(|| Traced::new(ANSWERS)),
            rate_limited,
            provisions: Family::default(),
            reconciles: Family::new_with_constructor(|| Traced::new(LOOKS)),
            watch_errors: Counter::default(),
            time_to_ready: Family::new_with_constructor(|| Traced::new(WAITS)),
            drift: Family::default(),
            drift_detection: Family::new_with_constructor(|| Histogram::new(FINDS)),
            fights,
            callbacks: Family::default(),
            callback_latency: Traced::new(NEWS),
            records: Arc::default(),
        }
    }
}

/// When somebody else made the change, where that is known.
fn changed_at(change: &Change) -> Option<Timestamp> {
    let author = change.author.as_ref()?;
    let time = author
        .time
        .as_deref()
        .filter(|_| author.manager != BROKER_FIELD_MANAGER)?;
    time.parse().ok()
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PutBack => "put_back",
            Self::Left => "left",
        }
    }
}

impl Metrics {
    /// Notes an answer of the API. Of a path only the route that it matched is known here.
    pub fn answered(&self, route: Option<&str>, status: u16, took: Duration) {
        let labels = [("route", routes::word(route)), ("status", routes::class(status))];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a request that was refused since there were too many.
    pub fn rate_limited(&self, limit: Limit) {
        self.rate_limited
            .get_or_create(&[("limit", limit.as_str())])
            .inc();
    }

    /// Counts a request to provision that was taken.
    pub fn taken(&self, how: Taken) {
        self.provisions.get_or_create(&[("outcome", how.as_str())]).inc();
    }

    /// Counts an error of a watch; it is begun anew.
    pub fn watch_failed(&self) {
        self.watch_errors.inc();
    }

    /// Notes that an instance is usable for the first time.
    pub fn became_ready(&self, engine: Engine, size: Size, created: Timestamp, now: Timestamp) {
        let labels = [("engine", engine.as_str()), ("size", size.as_str())];
        let took = seconds(created, now);
        self.time_to_ready.get_or_create(&labels).observe(took);
    }

    /// Notes how long after somebody's write a change was found, where `managedFields` tells when that was.
    pub fn drift_found(&self, action: Action, change: &Change, now: Timestamp) {
        if let Some(at) = changed_at(change) {
            self.drift_detection
                .get_or_create(&[("action", action.as_str())])
                .observe(seconds(at, now));
        }
    }

    /// Counts a change by what was done about it.
    pub fn drift(&self, engine: Engine, action: Action, change: &Change) {
        let labels = [
            ("engine", engine.as_str()),
            ("action", action.as_str()),
            ("consequence", change.consequence.as_str()),
        ];
        self.drift.get_or_create(&labels).inc();
    }

    /// Counts a field that is left alone from now on, since somebody else keeps changing it.
    pub fn fight(&self, engine: Engine) {
        self.fights.get_or_create(&[("engine", engine.as_str())]).inc();
    }

    /// Notes how long a reconcile took.
    pub fn reconciled(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("operation", operation), ("outcome", outcome)];
        self.reconciles.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a round of attempts at a callback.
    pub fn called_back(&self, outcome: &'static str) {
        self.callbacks.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Notes that a callback on an event was acknowledged.
    pub fn acknowledged(&self, event: Timestamp, now: Timestamp) {
        self.callback_latency.observe(seconds(event, now));
    }

    /// The records that instances are counted in, once they are watched.
    pub fn watch(&self, records: Store<ServiceInstance>) {
        self.records.get_or_init(|| records);
    }
}

/// What is registered, and under which names.
impl Metrics {
    /// Everything, for a broker of this name.
    fn list(&self, broker: &str) -> List {
        let mut list = List::new("kidp_broker", env!("CARGO_PKG_VERSION"));
        self.list_requests(&mut list);
        self.list_work(&mut list);
        self.list_callbacks(&mut list);
        let instances = Instances::new(broker, self.records.clone());
        list.collect(&Instances::NAMES, Box::new(instances));
        list
    }

    fn list_requests(&self, list: &mut List) {
        list.add(
            "http_request_duration_seconds",
            "How long answers of the API took, by the route that matched and the class of the status",
            self.requests.clone(),
        );
        list.add(
            "rate_limited_requests",
            "Requests that were refused since there were too many",
            self.rate_limited.clone(),
        );
        list.add(
            "provision_requests",
            "Requests to provision that were taken, by what became of the record",
            self.provisions.clone(),
        );
    }

    fn list_work(&self, list: &mut List) {
        list.add(
            "reconcile_duration_seconds",
            "How long looking at one instance took",
            self.reconciles.clone(),
        );
        list.add(
            "watch_errors",
            "Watches that ended with an error, and were begun anew",
            self.watch_errors.clone(),
        );
        list.add(
            "time_to_ready_seconds",
            "From the creation of a record until its instance was usable for the first time",
            self.time_to_ready.clone(),
        );
        list.add(
            "drift_changes",
            "Changes found in what was applied, by what was done; one that is left counts once",
            self.drift.clone(),
        );
        list.add(
            "drift_detection_seconds",
            "From somebody's write to its being put back or told, where it is known when it was",
            self.drift_detection.clone(),
        );
        list.add(
            "drift_fights",
            "Fields left alone for a while, since somebody else keeps changing them",
            self.fights.clone(),
        );
    }

    fn list_callbacks(&self, list: &mut List) {
        list.add(
            "callbacks",
            "Rounds of attempts at a callback, by outcome",
            self.callbacks.clone(),
        );
        list.add(
            "callback_latency_seconds",
            "From an event to the acknowledgement of its callback",
            self.callback_latency.clone(),
        );
    }
}

/// Every metric that there is, whether something was counted yet or not.
pub fn names() -> Vec<Named> {
    Metrics::default().list("").into_names()
}

/// `GET /metrics` of a broker of this name.
pub fn app(metrics: &Metrics, broker: &str) -> Router {
    metrics.list(broker).app()
}

/// What a scrape of the counters would show that asks for exemplars.
#[cfg(test)]
pub(crate) fn shown(metrics: &Metrics) -> String {
    metrics.list("eu").text(Form::OpenMetrics).unwrap()
}

#[cfg(test)]
mod tests;

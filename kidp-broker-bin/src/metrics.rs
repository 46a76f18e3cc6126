//! What the broker counts, for Prometheus: `GET /metrics` on a listener of its own, so that who scrapes needs none of the
//! API's credentials and the API shows nothing of it.
//!
//! Labels are words of this program, such as an engine or an outcome, and never names of instances, namespaces or
//! clients: their type takes nothing else. How many instances there are, and what is left of their drift, is counted in
//! the records at each scrape, so that it is right after a restart.

mod records;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use kidp_core::crd::ServiceInstance;
use kidp_core::instance::Engine;
use kidp_drift::Change;
use kube::runtime::reflector::Store;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Names and values; both are constants of the program.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Seconds that reconciles take: reads alone take some 10 ms, and the longest is [`RECONCILE_TIMEOUT`].
///
/// [`RECONCILE_TIMEOUT`]: crate::controller
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

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
    drift: Family<Labels<3>, Counter>,
    fights: Family<Labels<1>, Counter>,
    reconciles: Family<Labels<2>, Histogram, fn() -> Histogram>,
    callbacks: Family<Labels<1>, Counter>,
    records: Arc<OnceLock<Store<ServiceInstance>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            drift: Family::default(),
            fights: Family::default(),
            reconciles: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            callbacks: Family::default(),
            records: Arc::default(),
        }
    }
}

impl Metrics {
    /// Counts a change by what was done about it.
    pub fn drift(&self, engine: Engine, action: Action, change: &Change) {
        let action = match action {
            Action::PutBack => "put_back",
            Action::Left => "left",
        };
        let labels = [
            ("engine", engine.as_str()),
            ("action", action),
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

    /// The records that instances are counted in, once they are watched.
    pub fn watch(&self, records: Store<ServiceInstance>) {
        self.records.get_or_init(|| records);
    }

    /// Everything, for a broker of this name.
    fn registry(&self, broker: &str) -> Registry {
        let mut registry = Registry::with_prefix("kidp_broker");
        registry.register(
            "drift_changes",
            "Changes found in what was applied, by what was done; one that is left counts once",
            self.drift.clone(),
        );
        registry.register(
            "drift_fights",
            "Fields left alone for a while, since somebody else keeps changing them",
            self.fights.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long looking at one instance took",
            self.reconciles.clone(),
        );
        registry.register(
            "callbacks",
            "Rounds of attempts at a callback, by outcome",
            self.callbacks.clone(),
        );
        registry.register_collector(Box::new(records::Instances::new(broker, self.records.clone())));
        registry
    }
}

/// `GET /metrics` of a broker of this name.
pub fn app(metrics: &Metrics, broker: &str) -> Router {
    let registry = Arc::new(metrics.registry(broker));
    Router::new().route("/metrics", get(scrape)).with_state(registry)
}

async fn scrape(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests;

//! What the operator counts, for Prometheus: `GET /metrics` beside the probes.
//!
//! Labels are words of this program, such as a kind or an outcome, and never names of objects, namespaces or brokers:
//! their type takes nothing else. How many objects there are is counted in the caches at each scrape; only the replica
//! that leads fills them.

mod objects;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cache::Caches;

/// Names and values; both are constants of the program.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Seconds that reconciles take: most write nothing and ask a broker at most once.
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// The counters; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<Labels<2>, Histogram, fn() -> Histogram>,
    callbacks: Family<Labels<1>, Counter>,
    selections: Family<Labels<2>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            callbacks: Family::default(),
            selections: Family::default(),
        }
    }
}

impl Metrics {
    /// Notes how long a reconcile of an object of a kind took.
    pub fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("kind", kind), ("outcome", outcome)];
        self.reconciles.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a callback: `accepted`, or the reason of its refusal.
    pub fn called_back(&self, outcome: &'static str) {
        self.callbacks.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a choice of a broker for a resource of a kind: `chosen`, or why there is none.
    pub fn selected(&self, kind: &'static str, outcome: &'static str) {
        let labels = [("kind", kind), ("outcome", outcome)];
        self.selections.get_or_create(&labels).inc();
    }

    fn registry(&self, caches: Caches) -> Registry {
        let mut registry = Registry::with_prefix("kidp_operator");
        registry.register(
            "reconcile_duration_seconds",
            "How long looking at one object took",
            self.reconciles.clone(),
        );
        registry.register(
            "callbacks",
            "Callbacks of brokers, accepted or by the reason of the refusal",
            self.callbacks.clone(),
        );
        registry.register(
            "selections",
            "Choices of a broker, chosen or by the reason why there is none",
            self.selections.clone(),
        );
        registry.register_collector(Box::new(objects::Objects(caches)));
        registry
    }
}

/// `GET /metrics`, with the objects of `caches`.
pub fn app(metrics: &Metrics, caches: Caches) -> Router {
    let registry = Arc::new(metrics.registry(caches));
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
mod tests {
    use std::time::Duration;

    use kidp_core::crd::Phase;

    use super::*;
    use crate::cache::caches;
    use crate::testing::{broker, cache, database, fill};

    #[tokio::test]
    async fn a_running_server_tells_counts_and_objects_by_phase() {
        let (readers, mut writers) = caches();
        let mut ready = database("ready");
        ready.status.get_or_insert_default().phase = Phase::Ready;
        fill(&mut writers.databases, [database("orders"), ready]);
        fill(&mut writers.caches, [cache("sessions")]);
        fill(&mut writers.brokers, [broker("eu", None)]);
        let metrics = Metrics::default();
        metrics.reconciled("Database", "ok", Duration::from_millis(3));
        metrics.called_back("accepted");
        metrics.called_back("Unauthorized");
        metrics.selected("Database", "NoBroker");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app(&metrics, readers);
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        kidp_callback::http::client(Duration::from_secs(5)).unwrap();
        let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(answer.headers()["content-type"], prometheus_text::CONTENT_TYPE);
        let text = answer.text().await.unwrap();
        server.abort();
        for line in [
            r#"kidp_operator_reconcile_duration_seconds_bucket{kind="Database",outcome="ok",le="0.001"} 0"#,
            r#"kidp_operator_reconcile_duration_seconds_bucket{kind="Database",outcome="ok",le="0.005"} 1"#,
            r#"kidp_operator_callbacks_total{outcome="accepted"} 1"#,
            r#"kidp_operator_callbacks_total{outcome="Unauthorized"} 1"#,
            r#"kidp_operator_selections_total{kind="Database",outcome="NoBroker"} 1"#,
            r#"kidp_operator_resources{kind="Database",phase="Pending"} 1"#,
            r#"kidp_operator_resources{kind="Database",phase="Ready"} 1"#,
            r#"kidp_operator_resources{kind="Cache",phase="Pending"} 1"#,
            r#"kidp_operator_brokers{phase="Ready"} 1"#,
            "# TYPE kidp_operator_resources gauge",
            "# TYPE kidp_operator_callbacks_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        for name in ["orders", "sessions", "shop", "\"eu\""] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}

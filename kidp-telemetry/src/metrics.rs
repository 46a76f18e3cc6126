//! What a program counts, for Prometheus: a registry that knows what is in it, and `GET /metrics`. A scrape does not know: a
//! family of which nothing was counted yet is not shown, and rules and documents speak of it all the same.
//!
//! What is [`Traced`] names, for each bucket, the trace of its latest observation: an exemplar. Only the `OpenMetrics` form has
//! a place for it, so that a scrape is answered in the form that it asks for.

mod form;
mod traced;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

pub use form::Form;
pub use traced::Traced;

/// Names and values; both are constants of the program.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];
/// Histograms by labels.
pub type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;
/// Histograms by labels whose observations name their traces.
pub type TracedHistograms<const N: usize> = Family<Labels<N>, Traced, fn() -> Traced>;

/// A metric that there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its whole name, as a scrape has it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
}

/// What is registered, and its names.
#[derive(Debug)]
pub struct List {
    prefix: &'static str,
    registry: Registry,
    names: Vec<Named>,
}

impl List {
    /// The version of a program, and nothing else yet. Every name begins with `prefix`.
    pub fn new(prefix: &'static str, version: &'static str) -> Self {
        let mut list = Self {
            prefix,
            registry: Registry::with_prefix(prefix),
            names: Vec::new(),
        };
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create(&[("version", version)]).set(1);
        list.add("build_info", "Always 1; its version", build);
        list
    }

    /// Registers a metric.
    pub fn add<M: Metric + TypedMetric>(&mut self, name: &str, help: &str, metric: M) {
        self.note(name, M::TYPE);
        self.registry.register(name, help, metric);
    }

    /// Registers a collector of gauges of these names.
    pub fn collect(&mut self, gauges: &[&str], collector: Box<dyn Collector>) {
        for name in gauges {
            self.note(name, MetricType::Gauge);
        }
        self.registry.register_collector(collector);
    }

    fn note(&mut self, name: &str, kind: MetricType) {
        let (kind, end) = match kind {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Info => ("info", "_info"),
            MetricType::Unknown => ("untyped", ""),
        };
        let name = format!("{}_{name}{end}", self.prefix);
        self.names.push(Named { name, kind });
    }

    /// Every metric that there is, whether something was counted yet or not.
    pub fn into_names(self) -> Vec<Named> {
        self.names
    }

    /// What a scrape shows that asks for this form.
    ///
    /// # Errors
    /// A collector cannot say what it has.
    pub fn text(&self, form: Form) -> Result<String, fmt::Error> {
        form.text(&self.registry)
    }

    /// `GET /metrics`.
    pub fn app(self) -> Router {
        Router::new()
            .route("/metrics", get(scrape))
            .with_state(Arc::new(self))
    }
}

async fn scrape(State(list): State<Arc<List>>, headers: HeaderMap) -> Response {
    let form = Form::asked_for(&headers);
    match list.text(form) {
        Ok(text) => ([(header::CONTENT_TYPE, form.content_type())], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Seconds between two moments, none where the second was before the first.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// Name and help of a gauge that a collector counts.
pub type About = (&'static str, &'static str);

/// Writes a gauge that was counted for this scrape.
///
/// # Errors
/// There is no place to write to.
pub fn tell(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): About,
    gauge: &impl EncodeMetric,
) -> fmt::Result {
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

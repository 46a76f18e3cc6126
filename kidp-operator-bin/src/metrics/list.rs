//! A registry that knows what is in it. A scrape does not: a family of which nothing was counted yet is not shown, and rules
//! and documents speak of it all the same.

use prometheus_client::collector::Collector;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

/// What every name begins with.
const PREFIX: &str = "kidp_operator";

/// A metric that there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its whole name, as a scrape has it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
}

/// What is registered, and its names.
pub(super) struct List {
    /// What is scraped.
    pub(super) registry: Registry,
    /// What is in it.
    pub(super) names: Vec<Named>,
}

impl List {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::with_prefix(PREFIX),
            names: Vec::new(),
        }
    }

    /// Registers a metric.
    pub(super) fn add<M: Metric + TypedMetric>(&mut self, name: &str, help: &str, metric: M) {
        self.note(name, M::TYPE);
        self.registry.register(name, help, metric);
    }

    /// Registers a collector of gauges of these names.
    pub(super) fn collect(&mut self, gauges: &[&str], collector: Box<dyn Collector>) {
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
        let name = format!("{PREFIX}_{name}{end}");
        self.names.push(Named { name, kind });
    }
}

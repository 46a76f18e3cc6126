//! Histograms whose observations name their traces.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::span;

/// Label of an exemplar, under the name that tools look for.
type TraceId = [(&'static str, String); 1];

/// A histogram that has the trace of the latest observation of each bucket, of those made in a trace that is sent to a
/// collector: any other id would lead nowhere. Clones share it.
#[derive(Clone, Debug)]
pub struct Traced(HistogramWithExemplars<TraceId>);

impl Traced {
    /// Without observations; a last bucket without an upper bound is added.
    pub fn new(buckets: impl IntoIterator<Item = f64>) -> Self {
        Self(HistogramWithExemplars::new(buckets.into_iter()))
    }

    /// Notes a value, in the trace that the program is in.
    pub fn observe(&self, value: f64) {
        let trace = span::sent().map(|at| [("trace_id", format!("{:032x}", at.trace_id()))]);
        let now = trace.is_some().then(SystemTime::now);
        self.0.observe(value, trace, now);
    }
}

impl TypedMetric for Traced {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Traced {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use kidp_core::trace::TraceParent;

    use super::*;
    use crate::metrics::{Form, List};
    use crate::span::{TARGET, within};
    use crate::testing::Recording;

    /// Observes a value in each of four buckets: outside of a trace, in one, in one that is not recorded, and again.
    fn observed() -> (List, TraceParent) {
        let waits = Traced::new([1.0, 2.0, 3.0]);
        let trace = TraceParent::of_generation("uid", 1);
        let place = |parent| within(tracing::error_span!(target: TARGET, "work"), Some(parent));
        waits.observe(0.5);
        place(trace).in_scope(|| waits.observe(1.5));
        place(trace.sampled(false)).in_scope(|| waits.observe(2.5));
        place(trace).in_scope(|| tracing::info_span!("library").in_scope(|| waits.observe(3.5)));
        let mut list = List::new("kidp_test", "0");
        list.add("wait_seconds", "Waits", waits);
        (list, trace)
    }

    /// The line of a bucket.
    fn bucket<'t>(text: &'t str, bound: &str) -> &'t str {
        let start = format!(r#"kidp_test_wait_seconds_bucket{{le="{bound}"}} "#);
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{bound} is not in {text}"))
    }

    #[test]
    fn an_observation_in_a_trace_that_is_recorded_names_it_and_no_other_does() {
        let _recording = Recording::start();
        let (list, trace) = observed();
        let text = list.text(Form::OpenMetrics).unwrap();
        let named = |value: &str| format!(r#"# {{trace_id="{:032x}"}} {value} "#, trace.trace_id());
        assert_eq!(bucket(&text, "1.0"), "1");
        assert!(
            bucket(&text, "2.0").starts_with(&format!("2 {}", named("1.5"))),
            "{text}"
        );
        assert_eq!(bucket(&text, "3.0"), "3");
        assert!(
            bucket(&text, "+Inf").starts_with(&format!("4 {}", named("3.5"))),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn the_older_form_has_the_same_counts_and_no_traces() {
        let _recording = Recording::start();
        let text = observed().0.text(Form::Prometheus).unwrap();
        let counts = ["1", "2", "3", "+Inf"].map(|bound| bucket(&text, bound));
        assert_eq!(counts, ["1", "2", "3", "4"]);
        assert!(!text.contains("trace_id"), "{text}");
    }

    #[test]
    fn nothing_is_named_where_no_collector_gets_the_trace_or_nothing_is_traced() {
        let in_lines_only = Recording::unsent();
        let text = observed().0.text(Form::OpenMetrics).unwrap();
        assert!(!text.contains("trace_id"), "{text}");
        drop(in_lines_only);
        let text = observed().0.text(Form::OpenMetrics).unwrap();
        assert!(!text.contains("trace_id"), "{text}");
    }
}

//! Which spans are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Records a share of all traces, and of those nothing below a span that its caller does not record. The trace id decides,
/// so that all of a trace is recorded or nothing, in every process with the same share. A caller's flag can lower what is
/// recorded, and never raise it.
#[derive(Clone, Debug)]
pub struct Share(Sampler);

impl Share {
    /// This share, from 0 to 1.
    pub fn new(share: f64) -> Self {
        Self(Sampler::TraceIdRatioBased(share))
    }
}

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_left_out = parent.is_some_and(|parent| {
            let span = parent.span();
            let caller = span.span_context();
            caller.is_valid() && !caller.is_sampled()
        });
        let never = Sampler::AlwaysOff;
        let rule = if is_left_out { &never } else { &self.0 };
        rule.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::SamplingDecision;
    use proptest::prelude::*;

    use super::*;
    use crate::span::remote;
    use kidp_core::trace::TraceParent;

    fn is_recorded(share: f64, trace: u128, parent: Option<TraceParent>) -> bool {
        let parent = parent.map(|parent| Context::new().with_remote_span_context(remote(parent)));
        let id = TraceId::from_bytes(trace.to_be_bytes());
        let kind = SpanKind::Internal;
        let result = Share::new(share).should_sample(parent.as_ref(), id, "span", &kind, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    proptest! {
        #[test]
        fn a_caller_can_lower_what_is_recorded_and_never_raise_it(trace in 1..u128::MAX, share in 0.0..1.0_f64) {
            let caller = TraceParent::random(&mut rand::rng());
            let alone = is_recorded(share, trace, None);
            prop_assert_eq!(is_recorded(share, trace, Some(caller)), alone);
            prop_assert!(!is_recorded(share, trace, Some(caller.sampled(false))));
            prop_assert!(is_recorded(1.0, trace, Some(caller)) && !is_recorded(0.0, trace, Some(caller)));
            prop_assert!(!alone || is_recorded(share + (1.0 - share) / 2.0, trace, None), "a larger share has more");
        }
    }

    #[test]
    fn a_share_is_about_that_share_of_generations() {
        let trace = |generation| TraceParent::of_generation("uid", generation).trace_id().get();
        let recorded = (0..1_000).filter(|generation| is_recorded(0.25, trace(*generation), None));
        assert!((200..300).contains(&recorded.count()));
    }
}

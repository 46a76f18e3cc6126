//! The trace of a resource: one for each generation of its spec.
//!
//! Its id follows from the UID and the generation of the object, see [`TraceParent::of_generation`]. So nothing is written
//! to keep it, an operator that is started anew goes on with it, and two replicas cannot disagree; and whoever knows the
//! object can say what to look for in the logs of every program.
//!
//! All lines about a generation have its trace id, whenever they are written. Spans are recorded only until the generation is
//! settled: looks at what is settled go on for as long as the object is there, and a trace has to end.
//!
//! The root of the trace is no span of any process, since no process lives for as long as a generation may take. A first
//! span of each look is its child.

use kidp_core::crd::{Phase, ServiceResource};
use kidp_core::trace::TraceParent;
use kidp_telemetry::span;
use tracing::Span;

use crate::kind::ResourceKey;

/// The root of the trace of the resource's generation. `None` for what no API server ever sent.
pub fn of<K: ServiceResource>(resource: &K) -> Option<TraceParent> {
    let meta = resource.meta();
    let root = TraceParent::of_generation(meta.uid.as_deref()?, meta.generation.unwrap_or_default());
    Some(root.sampled(!is_settled(resource)))
}

/// Whether there is nothing left to do for the generation but to look after it.
fn is_settled<K: ServiceResource>(resource: &K) -> bool {
    resource.status().is_some_and(|status| {
        let speaks_of_it = status.observed_generation == resource.meta().generation;
        speaks_of_it
            && !matches!(
                status.phase,
                Phase::Pending | Phase::Provisioning | Phase::Deleting
            )
    })
}

/// The span of one look at a resource.
pub fn span_of<K: ServiceResource>(resource: &K) -> Span {
    let generation = resource.meta().generation;
    let resource_key = ResourceKey::of(resource);
    let span = tracing::error_span!(target: span::TARGET, "reconcile", resource = %resource_key, generation);
    span::within(span, of(resource))
}

#[cfg(test)]
mod tests {
    use kidp_core::crd::ResourceStatus;

    use super::*;
    use crate::testing::database;

    #[test]
    fn spans_are_recorded_until_the_generation_is_settled() {
        let mut orders = database("orders");
        assert!(of(&orders).unwrap().is_sampled(), "new");
        for (phase, observed, recorded) in [
            (Phase::Provisioning, 1, true),
            (Phase::Ready, 1, false),
            (Phase::Failed, 1, false),
            (Phase::DriftDetected, 1, false),
            (Phase::Ready, 0, true),
            (Phase::Deleting, 1, true),
        ] {
            orders.status = Some(ResourceStatus {
                phase,
                observed_generation: Some(observed),
                ..ResourceStatus::default()
            });
            assert_eq!(
                of(&orders).unwrap().is_sampled(),
                recorded,
                "{phase:?} of {observed}"
            );
        }
    }

    #[test]
    fn the_trace_goes_on_through_every_status_and_ends_with_the_generation() {
        let mut orders = database("orders");
        let root = of(&orders).unwrap();
        orders.status = Some(ResourceStatus {
            phase: Phase::Ready,
            observed_generation: Some(1),
            ..ResourceStatus::default()
        });
        let later = of(&orders).unwrap();
        assert_eq!(
            (root.trace_id(), root.span_id()),
            (later.trace_id(), later.span_id())
        );
        orders.metadata.generation = Some(2);
        assert_ne!(of(&orders).unwrap().trace_id(), root.trace_id());
        orders.metadata.uid = None;
        assert_eq!(of(&orders), None);
    }
}

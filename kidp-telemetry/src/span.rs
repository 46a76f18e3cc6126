//! Spans that are part of a trace.
//!
//! They are ordinary `tracing` spans of the target [`TARGET`]; no other span is, whatever the libraries in between make.
//! They have the highest level there is, so that no filter of log lines takes the trace from the lines that it lets
//! through.

use std::num::{NonZeroU64, NonZeroU128};

use kidp_core::trace::TraceParent;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::{Span, Subscriber, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;

/// Target of spans that are part of a trace.
pub const TARGET: &str = "kidp_trace";

/// `span` as a child of `parent`, which may be of another process; as it is where there is none. To be called before the
/// span is entered.
#[must_use]
pub fn within(span: Span, parent: Option<TraceParent>) -> Span {
    if let Some(parent) = parent {
        let context = Context::new().with_remote_span_context(remote(parent));
        // Refused only where nothing is traced, as in most tests.
        let _ = span.set_parent(context);
    }
    span
}

pub(crate) fn remote(parent: TraceParent) -> SpanContext {
    let flags = if parent.is_sampled() {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id().get().to_be_bytes()),
        SpanId::from_bytes(parent.span_id().get().to_be_bytes()),
        flags,
        true,
        TraceState::default(),
    )
}

/// Where the program is in a trace: in the innermost span of [`TARGET`] that it is in. `None` outside of all, and where
/// nothing is traced.
pub fn current() -> Option<TraceParent> {
    // Entering such a span makes it OpenTelemetry's current one, too.
    Context::map_current(|context| place(context.span().span_context()))
}

/// Part of what takes spans: whether a collector gets them. It takes nothing itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent(pub(crate) bool);

impl<S: Subscriber> Layer<S> for Sent {}

/// The same as [`current`], where a collector gets what is recorded of the trace. Without a collector spans are made, too,
/// for the log lines and for others, who may have one.
pub fn sent() -> Option<TraceParent> {
    let at = current().filter(|at| at.is_sampled())?;
    let is_sent = |taker: &dispatcher::Dispatch| taker.downcast_ref::<Sent>().is_some_and(|sent| sent.0);
    dispatcher::get_default(is_sent).then_some(at)
}

/// The place of a span; `None` for what is no span.
pub(crate) fn place(at: &SpanContext) -> Option<TraceParent> {
    Some(TraceParent::new(
        NonZeroU128::new(u128::from_be_bytes(at.trace_id().to_bytes()))?,
        NonZeroU64::new(u64::from_be_bytes(at.span_id().to_bytes()))?,
        at.is_sampled(),
    ))
}

//! Log lines: text, or JSON with the trace that a line belongs to.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::LogFormat;
use crate::span::{self, TARGET};

/// The lines that `filter` lets through, to `writer`.
pub fn layer<S>(
    format: LogFormat,
    filter: EnvFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().map_event_format(Traced).with_filter(filter).boxed(),
    }
}

/// The filter that is configured. Targets that are `always` logged are, unless it speaks of them itself: who asks for less
/// of the log does not ask for no record of changes. The spans of a trace pass in any case, since its lines need them.
pub fn directives(configured: &str, always: &[&str]) -> String {
    let missing = always.iter().filter(|target| !configured.contains(**target));
    let lines = missing.fold(configured.to_owned(), |all, target| {
        format!("{all},{target}=info")
    });
    format!("{lines},{TARGET}=error")
}

/// Writes the trace and the span of a line before what another format says of it, which is a JSON object.
struct Traced<F>(F);

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(at) = span::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let (trace_id, span_id) = (at.trace_id(), at.span_id());
        match line.strip_prefix('{') {
            Some(rest) => write!(
                writer,
                r#"{{"trace_id":"{trace_id:032x}","span_id":"{span_id:016x}",{rest}"#
            ),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use kidp_core::trace::TraceParent;
    use serde_json::Value;

    use super::*;
    use crate::testing::Recording;

    fn logged(recording: &Recording) -> Vec<Value> {
        let lines = recording.lines();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn a_line_has_the_ids_of_the_innermost_span_of_a_trace() {
        let recording = Recording::start();
        let parent = TraceParent::of_generation("uid", 1);
        tracing::info!("before");
        let outer = tracing::error_span!(target: span::TARGET, "outer", deployment = "orders");
        let place = span::within(outer, Some(parent)).in_scope(|| {
            tracing::info!(answer = 42, "inside");
            // Of a library, and no part of the trace.
            tracing::info_span!("library").in_scope(|| tracing::warn!("deeper"));
            span::current().unwrap()
        });
        let lines = logged(&recording);
        let ids = |line: &Value| (line["trace_id"].clone(), line["span_id"].clone());
        let expected = (
            Value::from(format!("{:032x}", parent.trace_id())),
            Value::from(format!("{:016x}", place.span_id())),
        );
        assert_eq!(ids(&lines[0]), (Value::Null, Value::Null));
        assert_eq!((ids(&lines[1]), ids(&lines[2])), (expected.clone(), expected));
        let (fields, around) = (&lines[1]["fields"], &lines[1]["span"]);
        assert_eq!(
            (&fields["answer"], &fields["message"]),
            (&42.into(), &"inside".into())
        );
        assert_eq!(
            (&around["deployment"], &lines[1]["level"]),
            (&"orders".into(), &"INFO".into())
        );
    }

    #[test]
    fn a_span_that_is_not_recorded_is_in_the_lines_all_the_same() {
        let recording = Recording::start();
        let parent = TraceParent::of_generation("uid", 1).sampled(false);
        let quiet = tracing::error_span!(target: span::TARGET, "quiet");
        span::within(quiet, Some(parent)).in_scope(|| tracing::info!("inside"));
        let trace = format!("{:032x}", parent.trace_id());
        assert_eq!(logged(&recording)[0]["trace_id"], trace);
        assert_eq!(recording.spans(), []);
    }

    #[test]
    fn what_is_always_logged_is_unless_it_is_turned_off() {
        let spans = "kidp_trace=error";
        assert_eq!(directives("warn", &["audit"]), format!("warn,audit=info,{spans}"));
        assert_eq!(
            directives("info,audit=off", &["audit"]),
            format!("info,audit=off,{spans}")
        );
        assert_eq!(directives("warn", &[]), format!("warn,{spans}"));
        assert!(EnvFilter::try_new(directives("warn,kidp_broker=debug", &["audit"])).is_ok());
    }

    #[test]
    fn no_filter_of_lines_takes_the_trace_from_those_that_it_lets_through() {
        for log in ["kidp_telemetry=info", "warn", "off,kidp_telemetry=warn"] {
            let recording = Recording::of(log);
            let span = tracing::error_span!(target: span::TARGET, "outer");
            span.in_scope(|| tracing::warn!("inside"));
            assert!(logged(&recording)[0]["trace_id"].is_string(), "{log}");
        }
    }
}

//! For tests: what is traced and logged in a thread.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kidp_core::trace::TraceParent;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, TelemetryConfig};
use crate::lines;
use crate::share::Share;
use crate::span::{self, Sent};
use crate::start::{Settings, subscriber};

/// The traces that a scrape names in the samples whose names and labels have all of `parts` in them.
pub fn exemplars(scrape: &str, parts: &[&str]) -> BTreeSet<String> {
    let samples = scrape
        .lines()
        .filter_map(|line| line.split_once(" # {trace_id=\""));
    let meant = samples.filter(|(sample, _)| parts.iter().all(|part| sample.contains(part)));
    let traces = meant.filter_map(|(_, exemplar)| exemplar.split('"').next());
    traces.map(ToOwned::to_owned).collect()
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: TraceParent,
    /// The id of the span that it is a child of; zero where it is a root.
    pub parent: u64,
}

/// Records what is traced and logged in this thread until it is dropped.
pub struct Recording {
    spans: Arc<Mutex<Vec<Recorded>>>,
    lines: Lines,
    _provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Recording {
    /// Begins; lines are recorded from `info` on.
    pub fn start() -> Self {
        Self::of("info")
    }

    /// Begins as where no collector is configured.
    pub fn unsent() -> Self {
        Self::begin("info", Sent(false))
    }

    /// Begins with the lines that this filter lets through.
    pub fn of(log: &str) -> Self {
        Self::begin(log, Sent(true))
    }

    fn begin(log: &str, sent: Sent) -> Self {
        let config = TelemetryConfig {
            log_format: LogFormat::Json,
            log: log.to_owned(),
            otlp_endpoint: None,
            trace_sample_ratio: 1.0,
        };
        let settings = Settings {
            service: "test",
            version: "0",
            instance: None,
            always: &[],
            config: &config,
        };
        let (kept, written) = (Kept::default(), Lines::default());
        let spans = kept.0.clone();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Share::new(1.0))
            .with_simple_exporter(kept)
            .build();
        let writer = written.clone();
        let filter = EnvFilter::new(lines::directives(log, settings.always));
        let subscriber = subscriber(&settings, (&provider, sent), filter, move || writer.clone());
        Self {
            spans,
            lines: written,
            _provider: provider,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The spans that have ended, in the order of their ends.
    pub fn spans(&self) -> Vec<Recorded> {
        locked(&self.spans).clone()
    }

    /// The log, a JSON object a line.
    pub fn lines(&self) -> String {
        String::from_utf8_lossy(&locked(&self.lines.0)).into_owned()
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Recorded>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let recorded = batch.into_iter().filter_map(|data| {
            Some(Recorded {
                at: span::place(&data.span_context)?,
                parent: number(data.parent_span_id),
                name: data.name.into_owned(),
            })
        });
        locked(&self.0).extend(recorded);
        Ok(())
    }
}

fn number(id: SpanId) -> u64 {
    u64::from_be_bytes(id.to_bytes())
}

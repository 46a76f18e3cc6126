//! Starting logging and tracing, and ending them.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::config::TelemetryConfig;
use crate::export::{self, ExportError};
use crate::lines;
use crate::share::Share;
use crate::span::{Sent, TARGET};

/// Longest that spans are still being sent at the end.
const FLUSH: Duration = Duration::from_secs(3);

/// What a process tells of.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Which program it is, `service.name` of its spans.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Which one of several it is, where it has a name.
    pub instance: Option<&'a str>,
    /// Targets that are logged whatever the filter says, unless it speaks of them itself.
    pub always: &'a [&'a str],
    /// The flags.
    pub config: &'a TelemetryConfig,
}

/// Why telemetry cannot be started as it is configured.
#[derive(Debug, Error)]
pub enum StartError {
    /// Spans cannot be sent.
    #[error("--otlp-endpoint: {0}")]
    Export(#[from] ExportError),
}

/// What was started. To be ended by [`Telemetry::stop`], so that the last spans are sent.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Starts logging to standard error, and tracing. A malformed filter is reported, and `info` used in its place. To be called
/// inside of a runtime, which spans are sent on. Where logging was started before, it stays as it is.
pub fn start(settings: &Settings<'_>) -> Result<Telemetry, StartError> {
    let provider = provider(settings)?;
    let directives = lines::directives(&settings.config.log, settings.always);
    let (filter, fault) = match EnvFilter::try_new(directives) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let sent = Sent(settings.config.otlp_endpoint.is_some());
    let subscriber = subscriber(settings, (&provider, sent), filter, std::io::stderr);
    if subscriber.try_init().is_err() {
        tracing::debug!("logging was started before");
    }
    if let Some(error) = fault {
        tracing::warn!(%error, "--log is malformed, using info");
    }
    if let Some(url) = &settings.config.otlp_endpoint {
        tracing::info!(%url, share = settings.config.trace_sample_ratio, "traces are sent");
    }
    Ok(Telemetry { provider })
}

/// What makes spans, and sends them where that is asked for. Without a collector they are made all the same: their ids are
/// what joins log lines, and they say to others which trace a request belongs to.
fn provider(settings: &Settings<'_>) -> Result<SdkTracerProvider, StartError> {
    let mut attributes = vec![
        KeyValue::new("service.namespace", "kidp"),
        KeyValue::new("service.version", settings.version),
    ];
    if let Some(instance) = settings.instance {
        attributes.push(KeyValue::new("service.instance.id", instance.to_owned()));
    }
    // An empty one to begin with, since the default reads the environment.
    let resource = Resource::builder_empty()
        .with_service_name(settings.service)
        .with_attributes(attributes)
        .build();
    let mut provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Share::new(settings.config.trace_sample_ratio));
    if let Some(url) = &settings.config.otlp_endpoint {
        provider = provider.with_span_processor(export::processor(url, Handle::current())?);
    }
    Ok(provider.build())
}

/// What takes spans and lines. They are filtered apart: `filter` is for lines, and of spans all of the target are taken.
pub(crate) fn subscriber<W>(
    settings: &Settings<'_>,
    (provider, sent): (&SdkTracerProvider, Sent),
    filter: EnvFilter,
    writer: W,
) -> impl Subscriber + Send + Sync + 'static + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let ours = FilterFn::new(|metadata| metadata.is_span() && metadata.target() == TARGET);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(settings.service))
        .with_location(false)
        .with_threads(false)
        .with_filter(ours.with_max_level_hint(LevelFilter::from_level(Level::ERROR)));
    let lines = lines::layer(settings.config.log_format, filter, writer);
    // Filtered, too, so that nothing is taken for its sake.
    let sent = sent.with_filter(LevelFilter::OFF);
    Registry::default().with(spans).with(lines).with(sent)
}

impl Telemetry {
    /// Sends what waits, within a time limit. Spans that are made afterwards are lost.
    pub async fn stop(self) {
        // It waits for a thread, which waits for the runtime.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = ended.await {
            tracing::debug!(%error, "not all spans were sent");
        }
    }
}

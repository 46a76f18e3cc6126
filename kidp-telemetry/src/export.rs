//! Sending spans to a collector, as OTLP over HTTP.
//!
//! Spans wait in a bounded queue that a thread of its own empties in batches; one more than it holds is dropped. A batch
//! is given so long and no longer. Nothing that makes spans ever waits for any of this.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kidp_callback::http::ClientError;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as ExportSpans,
};
use thiserror::Error;
use tokio::runtime::Handle;
use url::Url;

/// Spans that wait at the most.
const QUEUE: usize = 2_048;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(2);
/// Longest that sending a batch takes, all tries together.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest answer of a collector that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long failures are not told of after one was.
const QUIET: Duration = Duration::from_mins(1);

/// Why spans cannot be sent at all.
#[derive(Debug, Error)]
pub enum ExportError {
    /// There is no HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The exporter does not take its settings.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// Sends spans to this URL from now on. Requests are made on `runtime`.
pub fn processor(url: &Url, runtime: Handle) -> Result<BatchSpanProcessor, ExportError> {
    let client = kidp_callback::http::client(LIMIT)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Exchange { client, runtime })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url.as_str())
        .with_timeout(LIMIT)
        .build()?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(Watched::new(exporter)).with_batch_config(config);
    Ok(processor.build())
}

/// Sends what the exporter hands over from its own thread, on the runtime that the client needs.
struct Exchange {
    client: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(..)")
    }
}

#[async_trait]
impl HttpClient for Exchange {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let request = reqwest::Request::try_from(request)?;
        self.runtime.spawn(exchange(client, request)).await?
    }
}

async fn exchange(client: reqwest::Client, request: reqwest::Request) -> Result<Response<Bytes>, HttpError> {
    let sent = client.execute(request).await;
    // Without the URL, which the log has at the start.
    let mut answer = sent.map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err("its answer is too large".into());
        }
        body.extend_from_slice(&chunk);
    }
    let response = Response::builder().status(answer.status());
    Ok(response.body(Bytes::from(body))?)
}

/// An exporter whose failures are told of, once in a while.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    told: Mutex<Option<Instant>>,
}

impl<E> Watched<E> {
    const fn new(exporter: E) -> Self {
        let told = Mutex::new(None);
        Self { exporter, told }
    }

    /// Whether a failure now is to be told of; if so, the next ones are not for a while.
    fn is_news(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.is_none_or(|then| now.duration_since(then) >= QUIET);
        if is_news {
            *told = Some(now);
        }
        is_news
    }
}

impl<E: ExportSpans> ExportSpans for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        if let Err(error) = &exported
            && self.is_news(Instant::now())
        {
            tracing::warn!(%error, spans, "spans were not taken by the collector; the next minute's are not told of");
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_failures_one_a_minute_is_told_of() {
        let watched = Watched::new(());
        let start = Instant::now();
        let told = (0..180).filter(|second| watched.is_news(start + Duration::from_secs(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [0, 60, 120]);
    }
}

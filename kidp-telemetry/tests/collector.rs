//! Spans on their way through the real exporter to a collector, which is played.
#![allow(clippy::unwrap_used)]

use clap::Parser;
use kidp_core::trace::TraceParent;
use kidp_telemetry::{Settings, TelemetryConfig, span, start};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    telemetry: TelemetryConfig,
}

async fn collector() -> MockServer {
    let collector = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/otlp/v1/traces"))
        .and(header("content-type", "application/x-protobuf"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    collector
}

/// What the collector was sent, all of it by the one way that it takes.
async fn taken(collector: &MockServer) -> Vec<ResourceSpans> {
    let requests = collector.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.url.path() == "/otlp/v1/traces")
    );
    let bodies = requests
        .iter()
        .map(|request| ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap());
    bodies.flat_map(|body| body.resource_spans).collect()
}

fn attribute(resource: &ResourceSpans, key: &str) -> String {
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let found = attributes.iter().find(|attribute| attribute.key == key).unwrap();
    match found.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// A request from `caller`, and work in it; the places of both.
fn work(caller: TraceParent) -> (TraceParent, TraceParent) {
    let request = tracing::error_span!(target: span::TARGET, "request", otel.kind = "server");
    span::within(request, Some(caller)).in_scope(|| {
        let outer = span::current().unwrap();
        // Of another target, as those of libraries are.
        let library = tracing::info_span!("library");
        let inner = library.in_scope(|| {
            let inner = tracing::error_span!(target: span::TARGET, "work");
            inner.in_scope(|| span::current().unwrap())
        });
        (outer, inner)
    })
}

#[tokio::test]
async fn spans_come_to_the_collector_with_their_trace_and_their_parents() {
    let collector = collector().await;
    let endpoint = format!("--otlp-endpoint={}/otlp", collector.uri());
    let config = Program::parse_from(["program", &endpoint, "--log=warn"]).telemetry;
    let telemetry = start(&Settings {
        service: "kidp-test",
        version: "1.2.3",
        instance: Some("eu"),
        always: &[],
        config: &config,
    });
    let telemetry = telemetry.unwrap();
    let caller = TraceParent::random(&mut rand::rng());
    let (request, inner) = work(caller);
    let quiet = TraceParent::random(&mut rand::rng()).sampled(false);
    assert_eq!(
        work(quiet).0.trace_id(),
        quiet.trace_id(),
        "there, and not recorded"
    );
    telemetry.stop().await;

    let resources = taken(&collector).await;
    for (key, value) in [
        ("service.name", "kidp-test"),
        ("service.namespace", "kidp"),
        ("service.version", "1.2.3"),
        ("service.instance.id", "eu"),
    ] {
        assert!(resources.iter().all(|resource| attribute(resource, key) == value));
    }
    let spans: Vec<Span> = resources
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(spans.len(), 2, "{spans:?}");
    let trace_id = caller.trace_id().get().to_be_bytes();
    assert!(spans.iter().all(|span| span.trace_id == trace_id));
    let id = |at: TraceParent| at.span_id().get().to_be_bytes();
    let (outer, work) = (named("request"), named("work"));
    assert_eq!(
        (&outer.span_id[..], &outer.parent_span_id[..]),
        (&id(request)[..], &id(caller)[..])
    );
    assert_eq!(
        (&work.span_id[..], &work.parent_span_id[..]),
        (&id(inner)[..], &id(request)[..])
    );
    assert_eq!(
        (outer.kind(), work.kind()),
        (SpanKind::Server, SpanKind::Internal)
    );
    assert!(outer.end_time_unix_nano >= outer.start_time_unix_nano);
}

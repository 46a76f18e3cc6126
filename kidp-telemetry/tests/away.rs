//! A collector that takes connections and never answers.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use clap::Parser;
use kidp_telemetry::{Settings, TelemetryConfig, span, start};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    telemetry: TelemetryConfig,
}

#[tokio::test]
async fn a_collector_that_never_answers_keeps_nobody_waiting() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("--otlp-endpoint=http://{}", silent.local_addr().unwrap());
    let config = Program::parse_from(["program", &endpoint]).telemetry;
    let telemetry = start(&Settings {
        service: "kidp-test",
        version: "0",
        instance: None,
        always: &[],
        config: &config,
    });
    let telemetry = telemetry.unwrap();
    let began = Instant::now();
    // Three times what its queue holds: in turn with the collector, they would take well over half a minute.
    for _ in 0..6_000 {
        tracing::error_span!(target: span::TARGET, "work").in_scope(|| assert!(span::current().is_some()));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let began = Instant::now();
    // What waits would take it over twenty seconds.
    telemetry.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

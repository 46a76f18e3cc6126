//! The counters, scraped from a running server.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::crd::{CostStatus, LocalRef};

use prometheus_client::encoding::prometheus_text;

use super::*;
use crate::cache::{Writers, caches};
use crate::testing::{broker, cache, database, fill};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Objects of every sort that is counted.
fn objects() -> (Caches, Writers) {
    let (readers, mut writers) = caches();
    let mut ready = database("ready");
    let status = ready.status.get_or_insert_default();
    status.phase = Phase::Ready;
    status.broker_ref = Some(LocalRef {
        name: "eu".to_owned(),
        namespace: None,
    });
    status.cost = Some(CostStatus {
        estimated_monthly: 36.5,
        currency: "EUR".to_owned(),
        last_updated: Time(at(0)),
    });
    let waiting = [("orders", 30), ("bills", 20)].map(|(name, second)| {
        let mut waiting = database(name);
        waiting.metadata.creation_timestamp = Some(Time(at(second)));
        waiting
    });
    fill(&mut writers.databases, waiting.into_iter().chain([ready]));
    fill(&mut writers.caches, [cache("sessions")]);
    let mut eu = broker("eu", None);
    eu.status.get_or_insert_default().orphaned_instances = Some(2);
    fill(&mut writers.brokers, [eu]);
    (readers, writers)
}

/// Something of everything.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    metrics.leads(true);
    metrics.reconciled("Database", "ok", Duration::from_millis(3));
    metrics.watch_failed("Team");
    metrics.moved("Database", Phase::Provisioning, Phase::Ready);
    metrics.moved("Database", Phase::Ready, Phase::Ready);
    metrics.became_ready(Engine::Postgresql, Size::Small, at(0), at(45));
    metrics.selected("Database", "NoBroker");
    metrics.placed("Cache", at(0), at(2));
    metrics.called_back("accepted");
    metrics.called_back("Unauthorized");
    metrics.accepted(at(10), at(11));
    metrics.told("Database", at(10), at(13));
    metrics.asked_broker("status", "ok", Duration::from_millis(20));
    metrics.checked("healthy");
    metrics.judged("Database", "allowed", Duration::from_millis(2));
    metrics
}

async fn scraped(metrics: &Metrics, caches: Caches) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(metrics, caches);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    kidp_callback::http::client(Duration::from_secs(5)).unwrap();
    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], prometheus_text::CONTENT_TYPE);
    let text = answer.text().await.unwrap();
    server.abort();
    text
}

#[tokio::test]
async fn a_running_server_tells_counts_and_objects() {
    let (readers, _writers) = objects();
    let text = scraped(&counted(), readers).await;
    let build = concat!(
        "kidp_operator_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1"
    );
    for line in [
        build,
        "kidp_operator_leader 1",
        r#"kidp_operator_reconcile_duration_seconds_bucket{kind="Database",outcome="ok",le="0.001"} 0"#,
        r#"kidp_operator_reconcile_duration_seconds_bucket{kind="Database",outcome="ok",le="0.005"} 1"#,
        r#"kidp_operator_watch_errors_total{kind="Team"} 1"#,
        r#"kidp_operator_phase_transitions_total{kind="Database",phase="Ready"} 1"#,
        r#"kidp_operator_time_to_ready_seconds_sum{engine="postgresql",size="small"} 45.0"#,
        r#"kidp_operator_selections_total{kind="Database",outcome="NoBroker"} 1"#,
        r#"kidp_operator_queue_wait_seconds_sum{kind="Cache"} 2.0"#,
        r#"kidp_operator_callbacks_total{outcome="accepted"} 1"#,
        r#"kidp_operator_callbacks_total{outcome="Unauthorized"} 1"#,
        "kidp_operator_callback_latency_seconds_sum 1.0",
        r#"kidp_operator_status_latency_seconds_sum{kind="Database"} 3.0"#,
        r#"kidp_operator_broker_request_duration_seconds_count{route="status",outcome="ok"} 1"#,
        r#"kidp_operator_broker_checks_total{outcome="healthy"} 1"#,
        r#"kidp_operator_admission_duration_seconds_count{kind="Database",verdict="allowed"} 1"#,
        r#"kidp_operator_resources{kind="Database",phase="Pending"} 2"#,
        r#"kidp_operator_resources{kind="Database",phase="Ready"} 1"#,
        r#"kidp_operator_resources{kind="Cache",phase="Pending"} 1"#,
        r#"kidp_operator_queued_resources{kind="Database"} 2"#,
        r#"kidp_operator_queue_oldest_timestamp_seconds{kind="Database"} 20"#,
        r#"kidp_operator_monthly_cost_estimate{kind="Database",currency="EUR"} 36.5"#,
        r#"kidp_operator_brokers{phase="Ready"} 1"#,
        "kidp_operator_orphaned_instances 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    for name in ["orders", "bills", "sessions", "shop", "\"eu\""] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}

/// Names and types, as a scrape has them.
fn described(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = types.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[tokio::test]
async fn a_scrape_has_every_name_and_no_other() {
    let (readers, _writers) = objects();
    let shown = described(&scraped(&counted(), readers).await);
    let listed: BTreeMap<_, _> = names().into_iter().map(|n| (n.name, n.kind.to_owned())).collect();
    assert_eq!(shown, listed);
}

#[test]
fn names_are_in_base_units() {
    for Named { name, kind } in names() {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        let words: BTreeSet<_> = name.split('_').collect();
        let scaled = ["ms", "milliseconds", "minutes", "hours", "kilobytes", "percent"];
        assert!(scaled.iter().all(|unit| !words.contains(unit)), "{name}");
    }
}

#[test]
fn a_clock_that_is_behind_makes_no_time_negative() {
    assert!(seconds(at(5), at(3)).abs() < f64::EPSILON);
    assert!((seconds(at(3), at(5)) - 2.0).abs() < f64::EPSILON);
}

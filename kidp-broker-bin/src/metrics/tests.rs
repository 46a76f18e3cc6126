//! The counters, scraped from a running server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::crd::{DriftStatus, OutboxEntry, Phase, ServiceInstanceStatus};
use kidp_drift::Author;
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{self, Limits};
use crate::testing::record;

/// Serves the counters until the token is cancelled.
async fn start(metrics: &Metrics) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let app = app(metrics, "eu");
    tokio::spawn(server::serve(listener, app, None, Limits::new(16), stop.clone()));
    (address, stop)
}

async fn scrape(address: SocketAddr) -> String {
    kidp_callback::http::client(Duration::from_secs(5)).unwrap();
    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    answer.text().await.unwrap()
}

/// The samples by name with labels. Each is of a family that was described before it.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| types.get_key_value(name.strip_suffix(end)?))
                .or_else(|| types.get_key_value(name));
            let (family, kind) = family.unwrap_or_else(|| panic!("{line}: not described"));
            assert!(family.starts_with("kidp_broker_"), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            let earlier = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(earlier, None, "{line}: twice");
        }
    }
    samples
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A change of a field by this manager, ten seconds after the epoch.
fn change_by(manager: &str) -> Change {
    Change {
        author: Some(Author {
            manager: manager.to_owned(),
            time: Some(at(10).to_string()),
            ..Author::default()
        }),
        ..Change::missing("StatefulSet/orders-postgresql")
    }
}

fn count_the_rest(metrics: &Metrics) {
    metrics.acknowledged(at(3), at(5));
    metrics.drift_found(Action::Left, &change_by("kubectl-edit"), at(18));
    metrics.drift_found(Action::Left, &change_by(BROKER_FIELD_MANAGER), at(18));
    metrics.drift_found(Action::Left, &Change::missing("Service/orders"), at(18));
    metrics.answered(Some("/v1/status"), 200, Duration::from_millis(4));
    metrics.answered(Some("/orders"), 404, Duration::from_millis(1));
    metrics.taken(Taken::Updated);
    metrics.rate_limited(Limit::Client);
    metrics.became_ready(Engine::Redis, Size::Large, at(0), at(30));
    metrics.watch_failed();
}

#[tokio::test]
async fn a_scrape_has_every_name_and_no_other() {
    let metrics = Metrics::default();
    metrics.drift(Engine::Redis, Action::Left, &Change::missing("Service/orders"));
    metrics.called_back("acknowledged");
    metrics.reconciled("sweep", "ok", Duration::from_millis(30));
    count_the_rest(&metrics);
    let (address, stop) = start(&metrics).await;
    let text = scrape(address).await;
    stop.cancel();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let shown: BTreeSet<_> = types.map(ToOwned::to_owned).collect();
    let listed: BTreeSet<_> = names()
        .into_iter()
        .map(|Named { name, kind }| format!("{name} {kind}"))
        .collect();
    assert_eq!(shown, listed);
}

#[tokio::test]
async fn a_running_server_tells_what_was_counted() {
    let metrics = Metrics::default();
    let (address, stop) = start(&metrics).await;
    let change = Change::missing("StatefulSet/orders-postgresql");
    metrics.drift(Engine::Postgresql, Action::PutBack, &change);
    metrics.drift(Engine::Postgresql, Action::PutBack, &change);
    metrics.drift(Engine::Redis, Action::Left, &change);
    metrics.fight(Engine::Redis);
    metrics.called_back("acknowledged");
    metrics.reconciled("sweep", "ok", Duration::from_millis(30));
    count_the_rest(&metrics);
    let text = scrape(address).await;
    let samples = parse(&text);
    let value = |sample: &str| samples.get(sample).copied();
    let changes = |engine: &str, action: &str| {
        value(&format!(
            r#"kidp_broker_drift_changes_total{{engine="{engine}",action="{action}",consequence="none"}}"#
        ))
    };
    assert_eq!(changes("postgresql", "put_back"), Some(2.0), "{text}");
    assert_eq!(changes("redis", "left"), Some(1.0));
    assert_eq!(
        value(r#"kidp_broker_drift_fights_total{engine="redis"}"#),
        Some(1.0)
    );
    assert_eq!(
        value(r#"kidp_broker_drift_fights_total{engine="mysql"}"#),
        Some(0.0),
        "begins before its first event"
    );
    let build = concat!(
        "kidp_broker_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    for (sample, expected) in [
        (build, 1.0),
        (r#"kidp_broker_callbacks_total{outcome="acknowledged"}"#, 1.0),
        ("kidp_broker_callback_latency_seconds_sum", 2.0),
        (r#"kidp_broker_drift_detection_seconds_sum{action="left"}"#, 8.0),
        (
            r#"kidp_broker_http_request_duration_seconds_count{route="/v1/status",status="2xx"}"#,
            1.0,
        ),
        (
            r#"kidp_broker_http_request_duration_seconds_count{route="none",status="4xx"}"#,
            1.0,
        ),
        (r#"kidp_broker_provision_requests_total{outcome="updated"}"#, 1.0),
        (r#"kidp_broker_rate_limited_requests_total{limit="client"}"#, 1.0),
        (
            r#"kidp_broker_rate_limited_requests_total{limit="in_flight"}"#,
            0.0,
        ),
        (
            r#"kidp_broker_time_to_ready_seconds_sum{engine="redis",size="large"}"#,
            30.0,
        ),
        ("kidp_broker_watch_errors_total", 1.0),
    ] {
        assert_eq!(value(sample), Some(expected), "{sample}: {text}");
    }
    assert!(!text.contains("orders"), "{text}");
    let reconciles = "kidp_broker_reconcile_duration_seconds";
    let labels = r#"operation="sweep",outcome="ok""#;
    assert_eq!(value(&format!("{reconciles}_count{{{labels}}}")), Some(1.0));
    assert_eq!(
        value(&format!(r#"{reconciles}_bucket{{{labels},le="0.025"}}"#)),
        Some(0.0)
    );
    assert_eq!(
        value(&format!(r#"{reconciles}_bucket{{{labels},le="0.05"}}"#)),
        Some(1.0)
    );
    stop.cancel();
}

#[tokio::test]
async fn instances_are_counted_in_the_records_and_none_is_named() {
    let metrics = Metrics::default();
    let (address, stop) = start(&metrics).await;
    assert_eq!(
        parse(&scrape(address).await).get("kidp_broker_outbox_entries"),
        Some(&0.0)
    );
    let (records, mut writer) = store();
    metrics.watch(records);
    let mut drifted = record();
    drifted.metadata.name = Some("second".to_owned());
    drifted.status = Some(ServiceInstanceStatus {
        phase: Phase::DriftDetected,
        observed_generation: drifted.metadata.generation,
        resource_generation: Some(drifted.spec.resource_generation),
        drift: Some(DriftStatus {
            left: 3,
            unknown: 2,
            details: Vec::new(),
        }),
        outbox: vec![OutboxEntry {
            id: "msg-1".to_owned(),
            phase: Phase::DriftDetected,
            queued_at: Time(jiff::Timestamp::UNIX_EPOCH),
            rounds: 0,
        }],
        ..ServiceInstanceStatus::default()
    });
    let mut foreign = record();
    foreign.metadata.name = Some("of-another-broker".to_owned());
    foreign.spec.resource_name = "else".to_owned();
    writer.apply_watcher_event(&Event::Init);
    for record in [record(), drifted, foreign] {
        writer.apply_watcher_event(&Event::InitApply(record));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let text = scrape(address).await;
    let samples = parse(&text);
    let engine = r#"engine="postgresql""#;
    for (sample, expected) in [
        (
            format!(r#"kidp_broker_instances{{{engine},phase="Provisioning"}}"#),
            1.0,
        ),
        (
            format!(r#"kidp_broker_instances{{{engine},phase="DriftDetected"}}"#),
            1.0,
        ),
        (format!("kidp_broker_drift_left{{{engine}}}"), 3.0),
        (format!("kidp_broker_drift_unknown_objects{{{engine}}}"), 2.0),
        ("kidp_broker_outbox_entries".to_owned(), 1.0),
    ] {
        assert_eq!(samples.get(&sample), Some(&expected), "{sample}: {text}");
    }
    let record = record();
    let names: [&str; 4] = [
        &record.spec.resource_name,
        record.spec.deployment_id.as_str(),
        "shop",
        "second",
    ];
    let values: BTreeSet<_> = text.split('"').skip(1).step_by(2).collect();
    assert!(names.iter().all(|name| !values.contains(name)), "{values:?}");
    stop.cancel();
}

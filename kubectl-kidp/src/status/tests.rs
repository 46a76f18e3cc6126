//! The answer of `status` as it is shown: as a tree, in columns and for programs.

use serde_json::json;

use super::testing::{NOW, event, from, made, waiting};
use super::*;

/// A database whose image cannot be pulled, seen down to its pod but for its events.
fn failing() -> Report {
    let mut seen = made(
        Some(waiting(
            "ImagePullBackOff",
            "Back-off pulling image \"docker.io/library/postgres:15.99\"",
        )),
        "Bound",
    );
    seen.broker = Some(from(
        json!({"metadata": {"name": "local", "namespace": "kidp-system"},
        "spec": {"endpoint": "http://broker:8082", "region": "r", "cloudProvider": "c", "capabilities": []},
        "status": {"phase": "Ready"}}),
    ));
    seen.record = Some(from(
        json!({"metadata": {"name": "deploy-00000000000000000000000000000000", "namespace": "shop"},
        "spec": {"deploymentId": "deploy-00000000000000000000000000000000", "resourceType": "Database", "resourceName": "orders",
            "team": "payments", "instance": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}},
        "status": {"phase": "Provisioning"}}),
    ));
    seen.services = vec![
        "orders-postgresql".to_owned(),
        "orders-postgresql-headless".to_owned(),
    ];
    seen.secret = Some(("orders-postgresql-connection".to_owned(), true));
    seen.events = vec![event(
        "Pod",
        "orders-postgresql-0",
        "Failed",
        3,
        "Failed to pull\u{1b}[31m image",
    )];
    seen.gaps = vec!["listing events: not allowed".to_owned()];
    report(&seen, NOW.parse().unwrap())
}

#[test]
fn a_failing_database_is_shown_down_to_its_pod() {
    let report = failing();
    insta::assert_snapshot!("tree", render::text(&report, Format::Tree, Paint::plain()));
    insta::assert_snapshot!("table", render::text(&report, Format::Table, Paint::plain()));
    insta::assert_snapshot!("yaml", output::yaml(&report).unwrap());
}

#[test]
fn colours_change_no_word() {
    let report = failing();
    let plain = render::text(&report, Format::Tree, Paint::plain());
    let painted = render::text(&report, Format::Tree, Paint::stdout(output::Color::Always));
    assert!(painted.contains("\u{1b}[31mBadImage"));
    let mut stripped = String::new();
    let mut rest = painted.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn without_the_record_the_chain_ends_at_the_broker_and_says_so() {
    let mut seen = made(None, "Bound");
    (seen.set, seen.claims) = (None, Vec::new());
    seen.gaps = vec!["the record is not in this cluster".to_owned()];
    let report = report(&seen, NOW.parse().unwrap());
    assert!(!report.ready && report.chain.children.is_empty());
    assert_eq!(report.cause.unwrap().reason, "UnderWay");
    assert_eq!(report.not_seen.len(), 1);
}

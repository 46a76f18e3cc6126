//! What is done about drift, and what is told of it.

use kidp_core::instance::{DriftRule, MaintenanceWindow};
use serde_json::json;

use super::*;
use crate::testing;

fn label(consequence: Consequence) -> Change {
    Change {
        path: "metadata.labels.a".to_owned(),
        before: json!("1"),
        after: json!("2"),
        consequence,
        ..Change::missing("StatefulSet/db")
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_fingerprint_is_of_what_objects_follow_from() {
    let record = testing::record();
    let mut other = record.clone();
    other.spec.resource_generation += 1;
    other.spec.callback_url = Some("http://elsewhere".to_owned());
    other.spec.instance.drift.policy = Some(DriftPolicy::Alert);
    other.spec.instance.deletion_policy = DeletionPolicy::Retain;
    assert_eq!(fingerprint(&record), fingerprint(&other));
    other.spec.instance.storage.size = "2Gi".to_owned();
    assert_ne!(fingerprint(&record), fingerprint(&other));
    assert!(!is_applied(&record));
    other.status.get_or_insert_default().applied = Some(fingerprint(&other));
    assert!(is_applied(&other));
}

#[test]
fn what_restarts_pods_waits_for_the_window_and_nothing_else_does() {
    let spec = DriftSpec {
        maintenance_window: Some(MaintenanceWindow {
            days: Vec::new(),
            start: "02:00".to_owned(),
            duration: "1h".to_owned(),
        }),
        ..DriftSpec::default()
    };
    let (day, night) = (at("2026-01-01T12:00:00Z"), at("2026-01-01T02:30:00Z"));
    let restart = label(Consequence::RollingRestart);
    let wait = Some(SignedDuration::from_hours(14));
    assert_eq!(
        decide(&spec, &restart, None, day),
        Decision::Leave(Why::Window(wait))
    );
    assert_eq!(decide(&spec, &restart, None, night), Decision::PutBack);
    assert_eq!(
        decide(&spec, &label(Consequence::Reload), None, day),
        Decision::PutBack
    );
    let missing = Change {
        consequence: Consequence::Recreate,
        ..Change::missing("StatefulSet/db")
    };
    assert_eq!(decide(&spec, &missing, None, day), Decision::PutBack);
    let report = Report {
        left: vec![(restart, Why::Window(wait))],
        ..Report::default()
    };
    assert_eq!(report.look_again(), Some(Duration::from_secs(14 * 3600 + 1)));
}

#[test]
fn a_fight_is_told_and_what_is_ignored_is_not() {
    let mut record = testing::record();
    let rule = |path: &str, policy| DriftRule {
        object: "StatefulSet".to_owned(),
        path: Some(path.to_owned()),
        policy,
    };
    record.spec.instance.drift.rules = vec![
        rule("spec.replicas", DriftPolicy::Ignore),
        rule("spec.template", DriftPolicy::Alert),
    ];
    let (fights, now) = (Fights::default(), at("2026-01-01T00:00:00Z"));
    let fought = label(Consequence::None);
    for _ in 0..super::super::fights::ROUNDS {
        fights.put_back("k", &fingerprint(&record), &fought, now);
    }
    let of = |path: &str| Change {
        path: path.to_owned(),
        ..fought.clone()
    };
    let left = vec![fought.clone(), of("spec.replicas"), of("spec.template.x")];
    let report = Report {
        left: told(&record, "k", left, &fights, now),
        ..Report::default()
    };
    let whys: Vec<_> = report.left.iter().map(|(_, why)| *why).collect();
    assert_eq!(whys, [Why::Fight(super::super::fights::TRUCE), Why::Alert]);
    let lines: Vec<_> = report.lines().collect();
    assert!(lines[0].ends_with("changed again too often"), "{lines:?}");
}

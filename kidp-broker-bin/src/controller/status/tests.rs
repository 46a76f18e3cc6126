//! What is written, when, and what is not.

use kidp_core::crd::PendingChanges;

use super::*;
use crate::testing;

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn record() -> ServiceInstance {
    let mut record = testing::record();
    record.spec.callback_url = Some("http://operator:9090/v1/callback".to_owned());
    record
}

fn ready() -> Verdict {
    Verdict::Ready(Connection {
        host: "orders.shop.svc".to_owned(),
        port: 5432,
        secret: "orders-connection".to_owned(),
    })
}

fn failed(message: &str) -> Verdict {
    Verdict::Failed {
        reason: "InvalidSpec",
        message: message.to_owned(),
    }
}

fn after(mut record: ServiceInstance, verdict: &Verdict) -> ServiceInstance {
    record.status = next(&record, verdict, None, at(100), GRACE);
    assert!(record.status.is_some());
    record
}

#[test]
fn ready_is_written_once_with_its_callback() {
    let record = after(record(), &ready());
    let status = record.status.clone().unwrap();
    insta::assert_yaml_snapshot!(status);
    assert_eq!(next(&record, &ready(), None, at(200), Duration::ZERO), None);
}

#[test]
fn a_queued_instance_says_so_once_and_calls_nobody() {
    let waits = Verdict::Queued("waits for a place, number 5 or better".to_owned());
    let status = next(&record(), &waits, None, at(1), Duration::ZERO).unwrap();
    assert_eq!((status.phase, status.outbox.len()), (Phase::Pending, 0));
    assert_eq!(status.conditions[0].reason, "Queued");
    let mut record = record();
    record.status = Some(status);
    assert_eq!(next(&record, &waits, None, at(2), Duration::ZERO), None);
    let seen = crate::view::status(&record);
    assert_eq!(seen.phase, Phase::Pending);
    assert!(seen.message.unwrap().contains("number 5"));
}

#[test]
fn an_acknowledged_callback_is_not_queued_again() {
    let mut record = after(record(), &ready());
    record.status.as_mut().unwrap().outbox.clear();
    assert_eq!(next(&record, &ready(), None, at(200), Duration::ZERO), None);
}

#[test]
fn progress_is_written_only_once_it_drags_on() {
    let waits = Verdict::Progressing("waiting for a pod".to_owned());
    assert_eq!(next(&record(), &waits, None, at(1), GRACE / 2), None);
    let record = after(record(), &waits);
    let status = record.status.clone().unwrap();
    assert_eq!((status.phase, status.outbox.len()), (Phase::Provisioning, 0));
    assert_eq!(next(&record, &waits, None, at(200), GRACE), None);
}

#[test]
fn a_failure_is_told_once_and_recovers() {
    let record = after(record(), &failed("bad version"));
    let status = record.status.clone().unwrap();
    assert_eq!(
        (status.error.as_deref(), status.outbox.len()),
        (Some("InvalidSpec"), 1)
    );
    assert!(conditions::is_true(&status.conditions, conditions::STALLED));
    assert_eq!(
        next(&record, &failed("bad version"), None, at(200), Duration::ZERO),
        None
    );
    let reworded = next(&record, &failed("other words"), None, at(200), Duration::ZERO).unwrap();
    assert_eq!(
        reworded.outbox, status.outbox,
        "another message is not another callback"
    );
    let well = next(&record, &ready(), None, at(300), Duration::ZERO).unwrap();
    assert_eq!(
        (well.error, well.message, well.outbox[0].phase),
        (None, None, Phase::Ready)
    );
}

#[test]
fn a_new_generation_is_told_even_if_the_phase_is_the_same() {
    let mut record = after(record(), &ready());
    record.status.as_mut().unwrap().outbox.clear();
    record.spec.resource_generation += 1;
    record.metadata.generation = Some(2);
    let status = next(&record, &ready(), None, at(200), Duration::ZERO).unwrap();
    assert_eq!(status.outbox.len(), 1);
    assert_eq!(
        status.conditions[0].last_transition_time,
        Time(at(100)),
        "Ready did not change"
    );
}

#[test]
fn what_a_changed_spec_does_is_told_until_the_instance_is_ready_again() {
    let mut record = after(record(), &ready());
    record.spec.resource_generation += 1;
    let changes = PendingChanges {
        generation: record.spec.resource_generation,
        rolling_restart: 2,
        ..PendingChanges::default()
    };
    record.status.as_mut().unwrap().changes = Some(changes);
    assert_eq!(crate::view::status(&record).changes, Some(changes));
    let waits = Verdict::Progressing("waiting for a pod".to_owned());
    let record = after(record, &waits);
    assert_eq!(crate::view::status(&record).changes, Some(changes));
    let mut newer = record.clone();
    newer.spec.resource_generation += 1;
    assert_eq!(crate::view::status(&newer).changes, None, "of an older spec");
    assert_eq!(after(newer, &waits).status.unwrap().changes, None);
    assert_eq!(after(record, &ready()).status.unwrap().changes, None);
}

#[test]
fn what_is_left_is_new_until_a_status_tells_it() {
    let mut record = after(record(), &ready());
    let change = |n: usize| kidp_drift::Change {
        path: format!("spec.f{n}"),
        ..kidp_drift::Change::missing("StatefulSet/db")
    };
    let report = |count: usize| Report {
        left: (0..count).map(|n| (change(n), Why::Alert)).collect(),
        unknown: Vec::new(),
    };
    assert_eq!(newly_left(&record, &report(2)).count(), 2);
    for (told, found, new) in [(2, 2, 0), (2, 3, 1), (3, 1, 0), (30, 30, 0), (30, 31, 1)] {
        record.status = next(&record, &ready(), Some(&report(told)), at(200), GRACE).or(record.status);
        let report = report(found);
        let paths: Vec<_> = newly_left(&record, &report).map(|c| c.path.clone()).collect();
        assert_eq!(paths.len(), new, "{told} told, {found} found: {paths:?}");
    }
}

#[test]
fn lost_usability_is_told() {
    let record = after(record(), &ready());
    let waits = Verdict::Progressing("a pod is gone".to_owned());
    let status = next(&record, &waits, None, at(200), GRACE).unwrap();
    assert_eq!(status.outbox[0].phase, Phase::Provisioning);
    assert_eq!(status.endpoint.as_deref(), Some("orders.shop.svc"));
}

#[test]
fn without_a_callback_url_nothing_is_queued() {
    let record = testing::record();
    assert!(
        next(&record, &ready(), None, at(1), Duration::ZERO)
            .unwrap()
            .outbox
            .is_empty()
    );
}

#[test]
fn long_messages_are_cut_at_a_character() {
    assert_eq!(bounded("short"), "short");
    assert!(bounded(&"é".repeat(2000)).len() <= MAX_MESSAGE + 4);
}

fn scaled(why: Why) -> Report {
    let change = kidp_drift::Change {
        path: "spec.replicas".to_owned(),
        before: 1.into(),
        after: 3.into(),
        ..kidp_drift::Change::missing("StatefulSet/orders")
    };
    Report {
        left: vec![(change, why)],
        ..Report::default()
    }
}

fn in_sync(status: &ServiceInstanceStatus) -> (&str, &str) {
    let found = status.conditions.iter().find(|c| c.type_ == conditions::IN_SYNC);
    found.map_or(("", ""), |c| (c.status.as_str(), c.reason.as_str()))
}

#[test]
fn what_is_left_is_told_once_with_a_callback_and_so_is_its_end() {
    let mut record = after(record(), &ready());
    record.status.as_mut().unwrap().outbox.clear();
    let report = scaled(Why::Alert);
    let status = next(&record, &ready(), Some(&report), at(200), Duration::ZERO).unwrap();
    assert_eq!(
        (status.phase, in_sync(&status)),
        (Phase::DriftDetected, ("False", "DriftDetected"))
    );
    assert!(conditions::is_true(&status.conditions, conditions::READY));
    assert_eq!(status.outbox[0].phase, Phase::DriftDetected);
    let drift = status.drift.clone().unwrap();
    assert_eq!(
        (drift.left, drift.details.as_slice()),
        (
            1,
            ["StatefulSet/orders spec.replicas: 1 became 3".to_owned()].as_slice()
        )
    );
    assert!(status.message.clone().unwrap().contains("spec.replicas"));
    record.status = Some(status);
    assert_eq!(
        next(&record, &ready(), Some(&report), at(300), Duration::ZERO),
        None
    );
    let status = next(
        &record,
        &ready(),
        Some(&Report::default()),
        at(400),
        Duration::ZERO,
    )
    .unwrap();
    assert_eq!(
        (status.phase, status.drift.clone(), status.message.clone()),
        (Phase::Ready, None, None)
    );
    assert_eq!(
        (in_sync(&status), status.outbox[0].phase),
        (("True", "InSync"), Phase::Ready)
    );
}

#[test]
fn what_cannot_be_seen_is_never_in_sync() {
    let report = Report {
        unknown: vec!["Secret/x is unknown: forbidden".to_owned()],
        ..Report::default()
    };
    let status = next(&record(), &ready(), Some(&report), at(1), Duration::ZERO).unwrap();
    assert_eq!(
        (status.phase, in_sync(&status)),
        (Phase::Ready, ("Unknown", "Unseen"))
    );
    let mut both = scaled(Why::Fight(jiff::SignedDuration::from_mins(3)));
    both.unknown = report.unknown;
    let status = next(&record(), &ready(), Some(&both), at(1), Duration::ZERO).unwrap();
    assert_eq!(in_sync(&status), ("False", "RemediationStopped"));
    assert_eq!(status.drift.unwrap().unknown, 1);
}

#[test]
fn an_instance_that_is_down_by_drift_says_both() {
    let record = after(record(), &ready());
    let waits = Verdict::Progressing("0 of 1 pods are ready".to_owned());
    let status = next(&record, &waits, Some(&scaled(Why::Alert)), at(200), GRACE).unwrap();
    assert_eq!(status.phase, Phase::Provisioning);
    let message = status.message.unwrap();
    assert!(
        message.starts_with("0 of 1") && message.contains("spec.replicas"),
        "{message}"
    );
}

#[test]
fn details_are_bounded() {
    let mut report = scaled(Why::Alert);
    report.left[0].0.object = "x".repeat(5000);
    report.left = vec![report.left[0].clone(); 500];
    let status = next(&record(), &ready(), Some(&report), at(1), Duration::ZERO).unwrap();
    let drift = status.drift.unwrap();
    assert_eq!((drift.left, drift.details.len()), (500, MAX_DETAILS));
    assert!(drift.details.iter().all(|line| line.len() <= MAX_DETAIL + 4));
    assert!(status.message.unwrap().len() <= MAX_MESSAGE + 4);
}

//! What is written, when, and what is not.

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
    record.status = next(&record, verdict, at(100), GRACE);
    assert!(record.status.is_some());
    record
}

#[test]
fn ready_is_written_once_with_its_callback() {
    let record = after(record(), &ready());
    let status = record.status.clone().unwrap();
    insta::assert_yaml_snapshot!(status);
    assert_eq!(next(&record, &ready(), at(200), Duration::ZERO), None);
}

#[test]
fn an_acknowledged_callback_is_not_queued_again() {
    let mut record = after(record(), &ready());
    record.status.as_mut().unwrap().outbox.clear();
    assert_eq!(next(&record, &ready(), at(200), Duration::ZERO), None);
}

#[test]
fn progress_is_written_only_once_it_drags_on() {
    let waits = Verdict::Progressing("waiting for a pod".to_owned());
    assert_eq!(next(&record(), &waits, at(1), GRACE / 2), None);
    let record = after(record(), &waits);
    let status = record.status.clone().unwrap();
    assert_eq!((status.phase, status.outbox.len()), (Phase::Provisioning, 0));
    assert_eq!(next(&record, &waits, at(200), GRACE), None);
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
        next(&record, &failed("bad version"), at(200), Duration::ZERO),
        None
    );
    let reworded = next(&record, &failed("other words"), at(200), Duration::ZERO).unwrap();
    assert_eq!(
        reworded.outbox, status.outbox,
        "another message is not another callback"
    );
    let well = next(&record, &ready(), at(300), Duration::ZERO).unwrap();
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
    let status = next(&record, &ready(), at(200), Duration::ZERO).unwrap();
    assert_eq!(status.outbox.len(), 1);
    assert_eq!(
        status.conditions[0].last_transition_time,
        Time(at(100)),
        "Ready did not change"
    );
}

#[test]
fn lost_usability_is_told() {
    let record = after(record(), &ready());
    let waits = Verdict::Progressing("a pod is gone".to_owned());
    let status = next(&record, &waits, at(200), GRACE).unwrap();
    assert_eq!(status.outbox[0].phase, Phase::Provisioning);
    assert_eq!(status.endpoint.as_deref(), Some("orders.shop.svc"));
}

#[test]
fn without_a_callback_url_nothing_is_queued() {
    let record = testing::record();
    assert!(
        next(&record, &ready(), at(1), Duration::ZERO)
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

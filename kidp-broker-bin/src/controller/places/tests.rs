//! Who may begin.

use kidp_core::crd::ServiceInstanceStatus;
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use proptest::prelude::*;

use super::*;
use crate::testing;

fn record(name: &str, second: i64) -> ServiceInstance {
    let mut record = testing::record();
    record.spec.resource_name = name.to_owned();
    record.spec.deployment_id = record::id("eu", "shop", &record.spec);
    record.metadata.name = Some(record.spec.deployment_id.to_string());
    record.metadata.uid = Some(format!("uid-{name}"));
    record.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        jiff::Timestamp::from_second(second).unwrap(),
    ));
    record
}

fn with(mut record: ServiceInstance, phase: Phase, endpoint: Option<&str>) -> ServiceInstance {
    record.status = Some(ServiceInstanceStatus {
        phase,
        endpoint: endpoint.map(str::to_owned),
        ..ServiceInstanceStatus::default()
    });
    record
}

fn places(records: &[ServiceInstance], limit: u16) -> Places {
    let (reader, mut writer) = store();
    for record in records {
        writer.apply_watcher_event(&Event::Apply(record.clone()));
    }
    // The store lives as long as its reader.
    drop(writer);
    Places::new(reader, limit)
}

#[test]
fn only_what_was_not_begun_waits() {
    let fresh = record("a", 1);
    assert_eq!(stage(&fresh, None), Stage::Waiting);
    assert_eq!(
        stage(&with(fresh.clone(), Phase::Pending, None), None),
        Stage::Waiting
    );
    assert_eq!(
        stage(&with(fresh.clone(), Phase::Provisioning, None), None),
        Stage::Holding
    );
    assert_eq!(stage(&fresh, Some(Duration::ZERO)), Stage::Holding);
    assert_eq!(stage(&fresh, Some(PLACE_LIMIT)), Stage::Settled, "stuck");
    for settled in [
        with(fresh.clone(), Phase::Provisioning, Some("was usable before")),
        with(fresh.clone(), Phase::Ready, Some("e")),
        with(fresh.clone(), Phase::Failed, None),
    ] {
        assert_eq!(stage(&settled, None), Stage::Settled);
    }
    let mut gone = fresh;
    gone.metadata.deletion_timestamp = gone.metadata.creation_timestamp.clone();
    assert_eq!(stage(&gone, None), Stage::Settled, "a removal waits for nobody");
}

#[test]
fn a_burst_does_not_pass_the_limit_in_whatever_order_it_is_looked_at() {
    let burst: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| record(name, 7)).to_vec();
    let places = places(&burst, 2);
    let memory = Memory::default();
    for _ in 0..3 {
        for one in burst.iter().rev() {
            places.ask("eu", one, &memory);
        }
    }
    let begun = burst.iter().filter(|r| memory.age(&key(r)).is_some()).count();
    assert_eq!(begun, 2);
}

#[test]
fn other_namespaces_and_other_brokers_do_not_count() {
    let held = with(record("held", 1), Phase::Provisioning, None);
    let next = record("next", 2);
    let memory = Memory::default();
    let told = places(&[held.clone(), next.clone()], 1).ask("eu", &next, &memory);
    let Some(Verdict::Queued(message)) = told else {
        panic!("{told:?}")
    };
    assert!(
        message.starts_with("waits for a place, number 1 or better in namespace `shop`"),
        "{message}"
    );
    let mut elsewhere = held.clone();
    elsewhere.metadata.namespace = Some("bar".to_owned());
    assert_eq!(
        places(&[elsewhere, next.clone()], 1).ask("eu", &next, &Memory::default()),
        None
    );
    let mut foreign = held;
    foreign.spec.deployment_id = record::id("us", "shop", &foreign.spec);
    assert_eq!(
        places(&[foreign, next.clone()], 1).ask("eu", &next, &Memory::default()),
        None
    );
}

proptest! {
    #[test]
    fn the_limit_holds_and_no_place_is_idle(
        stages in proptest::collection::vec(0_u8..3, 1..30), limit in 1_usize..6,
    ) {
        let mut records: Vec<_> = stages.iter().enumerate()
            .map(|(i, s)| ([Stage::Waiting, Stage::Holding, Stage::Settled][usize::from(*s)], i)).collect();
        let held = |records: &[(Stage, usize)]| records.iter().filter(|(s, _)| *s == Stage::Holding).count();
        let before = held(&records);
        let mut begun = Vec::new();
        for index in (0..records.len()).rev().cycle().take(records.len() * 3) {
            if records[index].0 == Stage::Waiting && turn(&records, &index, limit) == Turn::Begin {
                records[index].0 = Stage::Holding;
                begun.push(index);
            }
        }
        prop_assert!(held(&records) <= limit.max(before), "never exceeded by a new one");
        let waiting = records.iter().filter(|(s, _)| *s == Stage::Waiting).map(|(_, i)| *i).min();
        prop_assert!(waiting.is_none() || held(&records) >= limit, "work conserving");
        prop_assert!(waiting.is_none_or(|oldest| begun.iter().all(|b| *b < oldest)), "oldest first");
    }
}

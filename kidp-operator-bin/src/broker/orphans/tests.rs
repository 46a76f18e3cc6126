//! Who is an orphan, when one is ripe, and what is said of it.

use super::*;
use crate::cache::caches;
use crate::testing::{broker, cache, database, fill, id_at_eu};
use serde_json::json;

fn view(name: &str, uid: &str, requested_by: Option<&str>) -> ResourceView {
    let id = DeploymentId::derive("eu", "shop", "Database", name, uid);
    serde_json::from_value(json!({
        "deploymentId": id, "resourceType": "Database", "resourceName": name, "namespace": "shop", "team": "payments",
        "phase": "Ready", "healthStatus": "Healthy", "actualSpec": null, "driftDetected": false, "driftDetails": [],
        "desiredSpec": database(name).spec.instance(), "resourceUid": uid, "requestedBy": requested_by,
    }))
    .unwrap()
}

fn board(grace: u64) -> OrphanBoard {
    OrphanBoard::new(Settings {
        operator_id: None,
        policy: OrphanPolicy::Report,
        data: OrphanData::Retain,
        grace: Duration::from_secs(grace),
        every: Duration::from_mins(5),
        namespace: None,
    })
}

#[test]
fn only_what_this_operator_made_and_nothing_stands_behind_is_an_orphan() {
    let (readers, mut writers) = caches();
    fill(&mut writers.databases, [database("alive")]);
    fill(&mut writers.caches, [cache("other-kind")]);
    let alive = Alive::of(&readers, "eu");
    assert_eq!(
        view("alive", "uid-alive", None).deployment_id,
        id_at_eu(&database("alive"))
    );
    let mut leaving = view("leaving", "uid-leaving", Some("me"));
    leaving.phase = Phase::Deleting;
    let mut nameless = view("nameless", "uid-x", Some("me"));
    nameless.resource_uid = None;
    let listed = vec![
        view("alive", "uid-alive", Some("me")),
        view("gone", "uid-gone", Some("me")),
        view("another-operators", "uid-1", Some("you")),
        view("nobodys", "uid-2", None),
        view("moved", "uid-alive", Some("me")),
        view("same-name-new-uid", "uid-other-kind", Some("me")),
        leaving,
        nameless,
    ];
    let found = orphans(listed, "me", &alive);
    let names: Vec<_> = found.iter().map(|v| v.resource_name.as_str()).collect();
    assert_eq!(names, ["gone"]);
}

#[test]
fn an_orphan_is_ripe_when_it_was_one_at_every_look_for_the_grace_time() {
    let (board, key) = (board(600), ObjectRef::from_obj(&broker("eu", None)));
    let id = view("gone", "uid-gone", None).deployment_id;
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let noted = |found: &[DeploymentId], second| {
        let noted = board.note(&key, found, at(second));
        (noted.new, noted.ripe.len())
    };
    let found = [id];
    assert_eq!(noted(&found, 0), (1, 0));
    assert_eq!(noted(&found, 599), (0, 0));
    assert_eq!(noted(&[], 599), (0, 0), "it was there again for one look");
    assert_eq!(noted(&found, 700), (1, 0), "the time starts anew");
    assert_eq!(noted(&found, 1300), (0, 1));
}

#[test]
fn a_broker_is_looked_at_in_intervals() {
    let (board, key) = (board(600), ObjectRef::from_obj(&broker("eu", None)));
    let start = Instant::now();
    assert!(board.begin(&key, start));
    assert!(!board.begin(&key, start + Duration::from_secs(299)));
    assert!(board.begin(&key, start + Duration::from_mins(5)));
}

#[test]
fn what_was_found_is_said_once_and_taken_back() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let found = vec![view("gone", "uid-gone", Some("me"))];
    let first = told(
        BrokerStatus::default(),
        &BrokerStatus::default(),
        Some(&found),
        at(1),
    );
    assert_eq!(first.orphaned_instances, Some(1));
    let condition = &first.conditions[0];
    assert_eq!(
        (condition.type_.as_str(), condition.status.as_str()),
        (ORPHANS_FOUND, "True")
    );
    assert!(
        condition.message.contains("Database shop/gone"),
        "{}",
        condition.message
    );
    assert_eq!(
        told(first.clone(), &first, Some(&found), at(9)),
        first,
        "said once"
    );
    assert_eq!(
        told(BrokerStatus::default(), &first, None, at(9)),
        first,
        "kept between looks"
    );
    assert_eq!(
        told(first.clone(), &first, Some(&[]), at(9)),
        BrokerStatus::default()
    );
}

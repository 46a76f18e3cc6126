//! Tables of the pure steps: what to do about an answer, and what to say of the outcome.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kidp_core::conditions::{READY, RECONCILING, STALLED, Statement, is_true};
use kidp_core::crd::{BrokerPhase, Database, PendingChanges, Phase, ResourceStatus, ServiceResource};
use kidp_core::problem::Reason;
use kidp_core::wire::DeploymentStatus;
use proptest::prelude::*;

use super::place::Placement;
use super::plan::{Removal, Step, Wanted, plan_removal, plan_step};
use super::status::{Outcome, Pace, deleting, next, unavailable};
use super::validate::{Place, refusal};
use super::{is_first_ready, is_gone};
use crate::cache::caches;
use crate::select::{Candidate, PlacementRequest, select_broker};
use crate::testing::{answer, broker, cache, database, fill, id_at_eu, message_queue};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn placement() -> Placement {
    Placement {
        namespace: "shop".into(),
        name: "eu".into(),
        id: id_at_eu(&database("orders")),
        explanation: None,
    }
}

fn wanted(generation: i64) -> Wanted {
    let database = database("orders");
    Wanted {
        id: id_at_eu(&database),
        generation,
        spec: database.spec.instance(),
    }
}

fn plan(generation: i64, change: impl FnOnce(&mut DeploymentStatus)) -> Step {
    let mut found = answer(&database("orders"));
    change(&mut found);
    plan_step(&wanted(generation), Some(found))
}

#[test]
fn what_the_broker_does_not_have_is_submitted() {
    assert_eq!(plan_step(&wanted(1), None), Step::Submit);
    assert_eq!(plan(2, |_| {}), Step::Submit, "an older generation");
    assert_eq!(
        plan(1, |f| f.spec.version = "16".into()),
        Step::Submit,
        "another spec"
    );
    let failed_before = plan(2, |f| f.phase = Phase::Failed);
    assert_eq!(failed_before, Step::Submit, "repair is not gated on the phase");
}

#[test]
fn what_is_under_way_is_waited_for() {
    for phase in [Phase::Provisioning, Phase::Deleting] {
        assert_eq!(plan(1, |f| f.phase = phase), Step::Wait, "{phase:?}");
    }
    let queued = plan(1, |f| {
        f.phase = Phase::Pending;
        f.message = Some("number 2".into());
    });
    let message = "number 2".to_owned();
    assert_eq!(queued, Step::Queued { message });
    assert_eq!(
        plan(2, |f| f.resource_generation = 2),
        Step::Wait,
        "not observed yet"
    );
    assert_eq!(plan(1, |f| f.observed_generation = None), Step::Wait);
    assert_eq!(
        plan(1, |f| f.resource_generation = 5),
        Step::Wait,
        "the copy at hand is old"
    );
    assert_eq!(
        plan(2, |f| f.phase = Phase::Deleting),
        Step::Wait,
        "can be made anew when it is gone"
    );
}

#[test]
fn what_has_ended_is_taken_over() {
    assert!(matches!(plan(1, |_| {}), Step::Finish(_)));
    assert!(matches!(
        plan(1, |f| f.phase = Phase::DriftDetected),
        Step::Drifted(_)
    ));
    assert!(matches!(plan(1, |f| f.phase = Phase::Suspended), Step::Held(_)));
    let gave_up = plan(1, |f| {
        f.phase = Phase::Failed;
        f.error = Some("InvalidField".into());
        f.message = Some("spec.version: unknown".into());
    });
    let message = "spec.version: unknown".to_owned();
    assert_eq!(
        gave_up,
        Step::Fail {
            reason: Some(Reason::InvalidField),
            message
        }
    );
    let other = id_at_eu(&database("other"));
    assert_eq!(plan(1, |f| f.deployment_id = other), Step::Mismatch);
}

#[test]
fn a_removal_is_asked_for_until_the_broker_is_at_it_and_confirmed_by_absence() {
    let mut found = answer(&database("orders"));
    assert_eq!(plan_removal(Some(&found)), Removal::Ask);
    found.phase = Phase::Deleting;
    assert_eq!(plan_removal(Some(&found)), Removal::Wait);
    assert_eq!(
        plan_removal(None),
        Removal::Ask,
        "a request to make it may be on its way"
    );
}

fn after<K: ServiceResource>(resource: &K, outcome: &Outcome, second: i64) -> ResourceStatus {
    next(resource, Some(&placement()), outcome, at(second))
}

#[test]
fn ready_carries_the_connection_and_a_repeat_is_equal() {
    let mut db = database("orders");
    db.status = Some(after(&db, &Outcome::InProgress, 1));
    let status = db.status.clone().unwrap();
    assert_eq!(status.phase, Phase::Provisioning);
    assert_eq!(status.broker_ref.as_ref().unwrap().name, "eu");
    assert_eq!(after(&db, &Outcome::InProgress, 9), status);

    let outcome = Outcome::Ready(Box::new(answer(&db)));
    let ready = after(&db, &outcome, 2);
    assert!(ready.phase == Phase::Ready && is_true(&ready.conditions, READY));
    assert_eq!((ready.port, ready.observed_generation), (Some(5432), Some(1)));
    assert_eq!(
        ready.connection_secret_ref.as_ref().unwrap().name,
        "orders-connection"
    );
    db.status = Some(ready.clone());
    assert_eq!(after(&db, &outcome, 3), ready);
}

#[test]
fn an_update_keeps_the_connection_while_it_is_under_way() {
    let mut db = database("orders");
    db.status = Some(after(&db, &Outcome::Ready(Box::new(answer(&db))), 1));
    db.metadata.generation = Some(2);
    let updating = after(&db, &Outcome::InProgress, 2);
    assert_eq!((updating.phase, updating.port), (Phase::Provisioning, Some(5432)));
    assert!(is_true(&updating.conditions, RECONCILING));
    assert_eq!(updating.observed_generation, Some(2));
}

#[test]
fn what_a_changed_spec_does_is_told_until_it_is_in_effect() {
    let mut db = database("orders");
    db.metadata.generation = Some(2);
    let changes = PendingChanges {
        generation: 2,
        rolling_restart: 3,
        ..PendingChanges::default()
    };
    let changing = after(&db, &Outcome::Changing(changes), 1);
    assert_eq!(
        (changing.phase, changing.changes),
        (Phase::Provisioning, Some(changes))
    );
    db.status = Some(changing.clone());
    assert_eq!(after(&db, &Outcome::Changing(changes), 9), changing);
    assert_eq!(after(&db, &Outcome::InProgress, 2).changes, Some(changes));
    assert_eq!(
        after(&db, &Outcome::Ready(Box::new(answer(&db))), 2).changes,
        None
    );
    db.metadata.generation = Some(3);
    assert_eq!(
        after(&db, &Outcome::InProgress, 2).changes,
        None,
        "of an older spec"
    );
}

#[test]
fn an_outage_is_said_after_some_failures_and_never_of_a_served_database() {
    let mut db = database("orders");
    let outage = |failures| Outcome::Unavailable {
        say: unavailable("eu"),
        failures,
    };
    db.status = Some(after(&db, &Outcome::InProgress, 1));
    assert_eq!(Some(after(&db, &outage(0), 2)), db.status);
    let said = after(&db, &outage(3), 2);
    assert_eq!(said.conditions[0].reason, "BrokerUnavailable");
    db.status = Some(said.clone());
    assert_eq!(after(&db, &outage(9), 3), said, "said once");

    db.status = Some(after(&db, &Outcome::Ready(Box::new(answer(&db))), 1));
    assert_eq!(Some(after(&db, &outage(99), 2)), db.status);
    db.metadata.generation = Some(2);
    assert_eq!(
        after(&db, &outage(99), 2).phase,
        Phase::Provisioning,
        "a change that cannot be submitted"
    );
}

#[test]
fn refusals_stall_and_wait_for_a_change() {
    let outcome = Outcome::Refused(Statement::new("InvalidField", "spec.version: unknown"));
    let status = after(&database("orders"), &outcome, 1);
    assert_eq!(status.phase, Phase::Failed);
    assert!(is_true(&status.conditions, STALLED));
    assert_eq!(outcome.pace(), Pace::Settled);
}

#[test]
fn a_deletion_says_why_it_is_not_over() {
    let mut db = database("orders");
    db.status = Some(after(&db, &Outcome::InProgress, 1));
    let status = deleting(&db, &unavailable("eu"), false, at(2));
    assert_eq!(status.phase, Phase::Deleting);
    assert_eq!(status.conditions[0].reason, "BrokerUnavailable");
    assert!(status.broker_ref.is_some());
    db.status = Some(status.clone());
    assert_eq!(deleting(&db, &unavailable("eu"), false, at(3)), status);
}

/// One object of each kind goes the same way, under its own finalizer, id and name.
#[test]
fn every_kind_goes_the_same_way_under_its_own_names() {
    fn check<K: ServiceResource>(mut resource: K, finalizer: &str, noun: &str) -> String {
        assert_eq!(K::FINALIZER, finalizer);
        let outcome = Outcome::Ready(Box::new(answer(&resource)));
        let ready = after(&resource, &outcome, 1);
        assert_eq!(
            ready.conditions[0].message,
            format!("the {noun} accepts connections")
        );
        *resource.status_mut() = Some(ready);
        let id = Placement::of(&resource).unwrap().unwrap().id;
        assert_eq!(id, id_at_eu(&resource));
        id.to_string()
    }
    let ids = [
        check(
            database("one"),
            "platform.company.com/database-cleanup",
            "database",
        ),
        check(cache("one"), "platform.company.com/cache-cleanup", "cache"),
        check(
            message_queue("one"),
            "platform.company.com/messagequeue-cleanup",
            "message queue",
        ),
    ];
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "one name, three kinds: {ids:?}"
    );
}

fn refused(change: impl FnOnce(&mut PlacementRequest, &mut Candidate)) -> Outcome {
    let broker = broker("eu", None);
    let mut request = PlacementRequest {
        resource_type: kidp_core::instance::ResourceType::Database,
        engine: kidp_core::instance::Engine::Postgresql,
        target: None,
        tenant_residency: None,
        apart: Vec::new(),
        monthly: HashMap::new(),
    };
    let mut candidate = Candidate {
        broker: Arc::new(broker),
        active: 0,
    };
    change(&mut request, &mut candidate);
    let selection = select_broker(&request, vec![candidate], at(1));
    assert_eq!(selection.chosen, None);
    let place = Place {
        namespace: "shop".into(),
        position: 5,
    };
    refusal(&request, &selection, &place)
}

#[test]
fn a_refused_placement_names_the_field_and_every_brokers_reason() {
    let target = |broker: Option<&str>, region: Option<&str>| {
        Some(kidp_core::crd::Target {
            broker: broker.map(str::to_owned),
            region: region.map(str::to_owned),
            ..kidp_core::crd::Target::default()
        })
    };
    let Outcome::Refused(say) = refused(|r, _| r.target = target(Some("moon"), None)) else {
        unreachable!("an unknown target does not come by itself")
    };
    assert!(
        say.reason == "TargetNotFound" && say.message.contains("spec.target.broker"),
        "{say:?}"
    );
    let Outcome::Refused(say) = refused(|r, _| r.engine = kidp_core::instance::Engine::Sqlserver) else {
        unreachable!("an engine does not come by itself")
    };
    assert!(
        say.message.contains("sqlserver") && say.message.contains("`shop/eu`"),
        "{say:?}"
    );
    let Outcome::Refused(say) = refused(|r, _| r.target = target(None, Some("mars"))) else {
        unreachable!("a region does not come by itself")
    };
    assert!(say.message.contains("mars"), "{say:?}");
    assert!(matches!(
        refused(
            |_, c| Arc::make_mut(&mut c.broker).status.get_or_insert_default().phase = BrokerPhase::Offline
        ),
        Outcome::Waiting(_)
    ));
    let Outcome::Waiting(say) = refused(|_, c| c.active = 10) else {
        unreachable!("a place does not come free by itself")
    };
    assert_eq!(
        (say.reason, say.message.as_str()),
        (
            "Queued",
            "waits for a place, number 5 or better in namespace `shop`: `shop/eu` is at its limit of 10 concurrent \
             deployments"
        )
    );
}

#[test]
fn a_forged_status_does_not_lead_to_another_instance() {
    let mut db = database("orders");
    let mut status = after(&db, &Outcome::InProgress, 1);
    status.deployment_id = Some(id_at_eu(&database("victim")).to_string());
    db.status = Some(status);
    assert_eq!(
        Placement::of(&db).unwrap().unwrap().id,
        id_at_eu(&database("orders"))
    );
}

proptest! {
    #[test]
    fn every_outcome_settles_in_one_write(kind in 0_usize..9, failures in 0_u32..10, generation in 1_i64..4) {
        let say = || Statement::new("Because", "of that");
        let mut db = database("orders");
        let found = Box::new(answer(&db));
        let outcome = [
            Outcome::Waiting(say()), Outcome::Refused(say()), Outcome::InProgress, Outcome::Changing(PendingChanges::default()), Outcome::Ready(found.clone()),
            Outcome::Drifted(found.clone()), Outcome::Held(found), Outcome::Unavailable { say: say(), failures },
            Outcome::Busy(std::time::Duration::from_secs(1)),
        ].into_iter().nth(kind).unwrap();
        db.metadata.generation = Some(generation);
        let first = after(&db, &outcome, 1);
        prop_assert!(!(is_true(&first.conditions, STALLED) && is_true(&first.conditions, RECONCILING)));
        db.status = Some(first.clone());
        prop_assert_eq!(after(&db, &outcome, 2), first);
    }
}

#[test]
fn a_resource_is_usable_for_the_first_time_once() {
    let mut seen = None;
    let firsts = [
        Outcome::InProgress,
        Outcome::Ready(Box::new(answer(&database("orders")))),
        Outcome::Ready(Box::new(answer(&database("orders")))),
        Outcome::InProgress,
        Outcome::Ready(Box::new(answer(&database("orders")))),
    ]
    .map(|outcome| {
        let mut resource = database("orders");
        resource.status.clone_from(&seen);
        let status = next(&resource, Some(&placement()), &outcome, at(1));
        let is_first = is_first_ready(seen.as_ref(), &status);
        seen = Some(status);
        is_first
    });
    assert_eq!(firsts, [false, true, false, false, false]);
}

#[test]
fn a_resource_that_went_or_was_made_anew_is_gone() {
    let placed = database("orders");
    let knows = |known: Option<Database>| {
        let (readers, mut writers) = caches();
        fill(&mut writers.databases, known);
        !is_gone(&placed, &readers)
    };
    let mut anew = placed.clone();
    anew.metadata.uid = Some("another".to_owned());
    assert_eq!(
        [Some(placed.clone()), Some(anew), None].map(knows),
        [true, false, false]
    );
}

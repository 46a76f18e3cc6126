//! Every way in which a second request can relate to the first.

use kidp_core::instance::{DeletionPolicy, Engine, ResourceType};
use kidp_core::revision::Revision;
use kidp_core::size::Size;
use kidp_provisioners::ClusterFeatures;
use serde_json::json;

use super::*;
use crate::testing::{record, spec};

fn at(generation: i64, change: impl FnOnce(&mut ServiceInstanceSpec)) -> ServiceInstanceSpec {
    let mut wanted = spec();
    wanted.resource_generation = generation;
    change(&mut wanted);
    wanted
}

fn known(generation: i64) -> ServiceInstance {
    let mut known = record();
    known.spec.resource_generation = generation;
    known
}

fn decide(existing: &ServiceInstance, wanted: &ServiceInstanceSpec) -> Decision {
    super::decide(&Registry::standard(), existing, wanted)
}

fn refusal(decision: Decision) -> (u16, Vec<String>) {
    match decision {
        Decision::Refuse(problem) => (
            problem.code,
            problem.details.into_iter().map(|d| d.field).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeat_is_the_same() {
    assert_eq!(decide(&known(2), &at(2, |_| {})), Decision::Same);
}

#[test]
fn a_newer_generation_updates_and_an_older_is_stale() {
    let grow = |s: &mut ServiceInstanceSpec| s.instance.size = Size::Medium;
    assert_eq!(decide(&known(2), &at(3, grow)), Decision::Update);
    assert_eq!(decide(&known(2), &at(3, |_| {})), Decision::Update);
    assert_eq!(decide(&known(2), &at(1, grow)), Decision::Stale);
}

#[test]
fn a_change_without_a_new_generation_is_a_conflict_that_names_the_fields() {
    let decision = decide(
        &known(2),
        &at(2, |s| {
            s.instance.size = Size::Medium;
            s.instance.storage.size = "9Gi".to_owned();
            s.instance
                .parameters
                .insert("max_connections".to_owned(), "5".to_owned());
            s.team = "other".to_owned();
        }),
    );
    let fields = ["team", "spec.parameters", "spec.size", "spec.storage.size"].map(str::to_owned);
    assert_eq!(refusal(decision), (409, fields.to_vec()));
}

#[test]
fn a_client_without_generations_is_taken_at_its_word() {
    let change = |s: &mut ServiceInstanceSpec| s.instance.deletion_policy = DeletionPolicy::Retain;
    assert_eq!(decide(&known(0), &at(0, change)), Decision::Update);
    assert_eq!(decide(&known(2), &at(0, change)), Decision::Stale);
}

#[test]
fn a_moved_callback_url_is_taken_at_the_same_generation() {
    let change = |s: &mut ServiceInstanceSpec| s.callback_url = Some("http://elsewhere/".to_owned());
    assert_eq!(decide(&known(2), &at(2, change)), Decision::Update);
}

#[test]
fn what_a_team_says_of_drift_is_taken_at_the_same_generation() {
    let policy = Some(kidp_core::instance::DriftPolicy::Alert);
    let change = |s: &mut ServiceInstanceSpec| s.instance.drift.policy = policy;
    assert_eq!(decide(&known(2), &at(2, change)), Decision::Update);
}

#[test]
fn another_client_that_asks_is_taken_at_the_same_generation() {
    let change = |s: &mut ServiceInstanceSpec| s.requested_by = Some("operator-2".to_owned());
    assert_eq!(decide(&known(2), &at(2, change)), Decision::Update);
}

#[test]
fn what_is_fixed_stays_even_at_a_new_generation() {
    let decision = decide(&known(2), &at(3, |s| s.instance.engine = Engine::Mysql));
    assert_eq!(refusal(decision), (422, vec!["spec.engine".to_owned()]));
    let decision = decide(
        &known(2),
        &at(3, |s| s.instance.storage.class = Some("fast".to_owned())),
    );
    assert_eq!(refusal(decision), (422, vec!["spec.storage.class".to_owned()]));
    let decision = decide(
        &known(2),
        &at(3, |s| s.instance.storage.size = "512Mi".to_owned()),
    );
    assert_eq!(refusal(decision), (422, vec!["spec.storage.size".to_owned()]));
    let grow = |s: &mut ServiceInstanceSpec| s.instance.storage.size = "2Gi".to_owned();
    assert_eq!(decide(&known(2), &at(3, grow)), Decision::Update);
}

#[test]
fn a_deployment_that_is_being_deleted_takes_nothing() {
    let mut gone = known(2);
    gone.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        jiff::Timestamp::UNIX_EPOCH,
    ));
    assert_eq!(refusal(decide(&gone, &at(2, |_| {}))), (422, Vec::new()));
}

#[test]
fn the_record_has_its_finalizer_from_the_start_and_owns_what_is_made() {
    let made = new("shop", spec());
    assert_eq!(
        made.metadata.finalizers.as_deref(),
        Some(&[SERVICE_INSTANCE_FINALIZER.to_owned()][..])
    );
    let reference = instance_of(&record(), ClusterFeatures::default())
        .owner_reference
        .unwrap();
    assert_eq!(
        (reference.controller, reference.block_owner_deletion),
        (Some(true), Some(true))
    );
    assert_eq!(reference.kind, "ServiceInstance");
}

#[test]
fn a_record_belongs_to_the_broker_that_made_it() {
    assert!(belongs_to("eu", &record()));
    assert!(!belongs_to("us", &record()));
    let mut moved = record();
    moved.metadata.namespace = Some("elsewhere".to_owned());
    assert!(!belongs_to("eu", &moved));
}

#[test]
fn a_newer_broker_leaves_an_instance_as_it_was_made() {
    let existing = record();
    let newer = ServiceInstanceSpec {
        render_revision: Revision::new(2),
        ..existing.spec.clone()
    };
    assert_eq!(decide(&existing, &pinned(&existing, &newer)), Decision::Same);
    let mut grown = newer;
    grown.resource_generation += 1;
    grown.instance.size = Size::Medium;
    let wanted = pinned(&existing, &grown);
    assert_eq!(decide(&existing, &wanted), Decision::Update);
    assert_eq!(wanted.render_revision, Revision::FIRST);
    assert_eq!(wanted.instance.size, Size::Medium);
}

#[test]
fn what_an_engine_cannot_follow_is_refused() {
    let decision = decide(&known(2), &at(3, |s| s.instance.high_availability = true));
    assert_eq!(refusal(decision), (422, vec!["spec.highAvailability".to_owned()]));
    let queue = |s: &mut ServiceInstanceSpec| {
        s.resource_type = ResourceType::MessageQueue;
        s.instance.engine = Engine::Rabbitmq;
    };
    let mut known = known(2);
    queue(&mut known.spec);
    let three = at(3, |s| {
        queue(s);
        s.instance.high_availability = true;
    });
    assert_eq!(decide(&known, &three), Decision::Update);
}

fn adopting(record: &mut ServiceInstanceSpec, pod_template: &str) {
    let adopt =
        json!({"statefulSet": "legacy", "secretRef": {"name": "legacy"}, "podTemplate": pod_template});
    record.instance.adopt = serde_json::from_value(adopt).unwrap();
}

fn taken_over(folder: Option<&str>) -> ServiceInstance {
    let mut known = known(2);
    let pod_template = if folder.is_some() { "Replace" } else { "Keep" };
    adopting(&mut known.spec, pod_template);
    let adopted = json!({"statefulSet": "legacy", "uid": "u", "generation": 1, "claimUid": "c",
        "secretRef": {"name": "legacy"}, "username": "shop", "database": "shop", "container": "postgres",
        "port": 5432, "dataFolder": folder, "spec": {}});
    known.spec.adopted = Some(serde_json::from_value(adopted).unwrap());
    known
}

/// What a request at a newer generation is refused for.
fn refused(existing: &ServiceInstance, change: impl FnOnce(&mut ServiceInstanceSpec)) -> Option<String> {
    match decide(existing, &pinned(existing, &at(3, change))) {
        Decision::Update => None,
        other => Some(refusal(other).1.remove(0)),
    }
}

#[test]
fn what_was_taken_over_stays_on_record_and_its_pod_template_may_be_replaced_once() {
    let (kept, replaced) = (taken_over(None), taken_over(Some("pgdata")));
    assert_eq!(refused(&kept, |spec| adopting(spec, "Keep")), None);
    assert_eq!(refused(&kept, |spec| adopting(spec, "Replace")), None);
    let back = refused(&replaced, |spec| adopting(spec, "Keep"));
    assert_eq!(back.as_deref(), Some("spec.adopt.podTemplate"));
    assert_eq!(refused(&kept, |_| {}).as_deref(), Some("spec.adopt"));
    let another = |spec: &mut ServiceInstanceSpec| {
        adopting(spec, "Keep");
        "other".clone_into(&mut spec.instance.adopt.as_mut().unwrap().stateful_set);
    };
    assert_eq!(refused(&kept, another).as_deref(), Some("spec.adopt"));
    let wanted = pinned(&kept, &at(3, |spec| adopting(spec, "Replace")));
    assert_eq!(wanted.adopted, kept.spec.adopted);
}

#[test]
fn nothing_is_taken_over_by_an_instance_that_there_is_and_a_wish_may_be_mended() {
    assert_eq!(
        refused(&known(2), |spec| adopting(spec, "Keep")).as_deref(),
        Some("spec.adopt")
    );
    let mut wished = taken_over(None);
    wished.spec.adopted = None;
    let another = |spec: &mut ServiceInstanceSpec| {
        adopting(spec, "Keep");
        "other".clone_into(&mut spec.instance.adopt.as_mut().unwrap().stateful_set);
    };
    assert_eq!(refused(&wished, another), None);
    assert_eq!(refused(&wished, |_| {}), None);
}

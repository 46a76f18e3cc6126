//! Every way in which a second request can relate to the first.

use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;

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
fn what_is_fixed_stays_even_at_a_new_generation() {
    use kidp_core::instance::Engine;
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
    assert_eq!(refusal(decide(&gone, &at(2, |_| {}))), (503, Vec::new()));
}

#[test]
fn the_record_has_its_finalizer_from_the_start_and_owns_what_is_made() {
    let made = new("shop", spec());
    assert_eq!(
        made.metadata.finalizers.as_deref(),
        Some(&[SERVICE_INSTANCE_FINALIZER.to_owned()][..])
    );
    let reference = instance_of(&record()).owner_reference.unwrap();
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

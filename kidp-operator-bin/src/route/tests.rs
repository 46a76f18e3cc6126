//! Who is told of which change.

use super::*;
use crate::cache::{Writers, caches};
use crate::testing::{broker, cache, database, fill, message_queue, object};
use kidp_core::crd::{Cache, Database, LocalRef, MessageQueue, ServiceResource};
use kidp_core::group::DATABASE_FINALIZER;
use kidp_core::instance::ResourceType;
use serde_json::json;

fn team_named(name: &str) -> Team {
    object("Team", name, &json!({"displayName": name, "owners": ["ada"]}))
}

fn shop_app() -> Application {
    object(
        "Application",
        "shop",
        &json!({"displayName": "Shop", "teamRef": {"name": "payments"}}),
    )
}

fn placed<K: ServiceResource>(mut resource: K, phase: Phase) -> K {
    let status = resource.status_mut().get_or_insert_default();
    status.phase = phase;
    status.broker_ref = Some(LocalRef {
        name: "eu".into(),
        namespace: None,
    });
    resource
}

fn filled(databases: Vec<Database>) -> (Caches, Writers) {
    let (readers, mut writers) = caches();
    fill(&mut writers.databases, databases);
    fill(&mut writers.teams, [team_named("payments")]);
    fill(&mut writers.applications, [shop_app()]);
    (readers, writers)
}

fn short(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Database => "db",
        ResourceType::Cache => "cache",
        ResourceType::MessageQueue => "mq",
    }
}

fn names(triggers: &[Trigger]) -> Vec<String> {
    let mut names: Vec<_> = triggers
        .iter()
        .map(|t| match t {
            Trigger::Resource(key) => format!("{}/{}", short(key.kind), key.name),
            Trigger::Team(r) => format!("team/{}", r.name),
            Trigger::Application(r) => format!("app/{}", r.name),
            Trigger::Tenant(r) => format!("tenant/{}", r.name),
            Trigger::Broker(r) => format!("broker/{}", r.name),
        })
        .collect();
    names.sort();
    names
}

fn with_finalizer(mut db: Database) -> Database {
    db.finalizers_mut().push(DATABASE_FINALIZER.to_owned());
    db
}

#[test]
fn the_operators_own_writes_trigger_nothing() {
    let (caches, _writers) = filled(vec![]);
    let bare = database("orders");
    let own = with_finalizer(bare.clone());
    assert_eq!(Database::route((Some(&bare), Some(&own)), &caches), []);
    let provisioning = placed(own.clone(), Phase::Provisioning);
    assert_eq!(Database::route((Some(&own), Some(&provisioning)), &caches), []);
    let ready = placed(own, Phase::Ready);
    assert_eq!(Database::route((Some(&provisioning), Some(&ready)), &caches), []);
}

#[test]
fn spec_annotation_deletion_and_a_lost_finalizer_trigger_the_database() {
    let (caches, _writers) = filled(vec![]);
    let old = with_finalizer(database("orders"));
    let mut changed = [old.clone(), old.clone(), old.clone(), database("orders")];
    changed[0].metadata.generation = Some(2);
    changed[1].annotations_mut().insert("a".into(), "b".into());
    changed[2].metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        jiff::Timestamp::UNIX_EPOCH,
    ));
    for new in &changed {
        assert_eq!(
            names(&Database::route((Some(&old), Some(new)), &caches)),
            ["db/orders"]
        );
    }
}

#[test]
fn coming_and_going_triggers_the_owner_and_the_team_behind_it() {
    let (caches, _writers) = filled(vec![]);
    let mut db = with_finalizer(database("orders"));
    assert_eq!(
        names(&Database::route((None, Some(&db)), &caches)),
        ["db/orders", "team/payments"]
    );
    db.spec.owner.kind = OwnerKind::Application;
    db.spec.owner.name = "shop".into();
    assert_eq!(
        names(&Database::route((Some(&db), None), &caches)),
        ["app/shop", "team/payments"]
    );
}

#[test]
fn a_free_place_is_told_to_those_who_wait() {
    let (caches, _writers) = filled(vec![database("a"), database("b"), database("c")]);
    let busy = placed(with_finalizer(database("orders")), Phase::Provisioning);
    let ready = placed(with_finalizer(database("orders")), Phase::Ready);
    assert_eq!(
        names(&Database::route((Some(&busy), Some(&ready)), &caches)),
        ["db/a", "db/b"]
    );
}

#[test]
fn a_broker_that_turns_ready_is_told_to_those_who_need_it() {
    let stuck = placed(database("stuck"), Phase::Deleting);
    let settled = placed(database("settled"), Phase::Ready);
    let (caches, _writers) = filled(vec![database("waiting"), stuck, settled]);
    let ready = broker("eu", None);
    let mut silent = ready.clone();
    silent.status = None;
    assert_eq!(
        names(&Broker::route((Some(&silent), Some(&ready)), &caches)),
        ["db/stuck", "db/waiting"]
    );
    assert_eq!(Broker::route((Some(&ready), Some(&ready)), &caches), []);
    assert!(Broker::route((Some(&ready), Some(&silent)), &caches).is_empty());
}

#[test]
fn an_owner_that_appears_is_told_to_its_databases() {
    let mut via_app = database("via-app");
    via_app.spec.owner.kind = OwnerKind::Application;
    via_app.spec.owner.name = "shop".into();
    let (caches, _writers) = filled(vec![
        database("direct"),
        via_app,
        placed(database("up"), Phase::Ready),
    ]);
    let team = team_named("payments");
    assert_eq!(
        names(&Team::route((None, Some(&team)), &caches)),
        ["app/shop", "db/direct", "db/via-app", "team/payments"]
    );
    let app = shop_app();
    assert_eq!(
        names(&Application::route((None, Some(&app)), &caches)),
        ["app/shop", "db/via-app", "team/payments"]
    );
}

#[test]
fn teams_and_tenants_tell_each_other() {
    let (caches, mut writers) = filled(vec![]);
    let mut team = team_named("payments");
    team.spec.tenant_ref = Some(LocalRef {
        name: "acme".into(),
        namespace: None,
    });
    fill(&mut writers.teams, [team.clone()]);
    let tenant: Tenant = object("Tenant", "acme", &json!({"displayName": "Acme"}));
    assert_eq!(
        names(&Tenant::route((None, Some(&tenant)), &caches)),
        ["team/payments", "tenant/acme"]
    );
    let told = names(&Team::route((None, Some(&team)), &caches));
    assert_eq!(told, ["app/shop", "team/payments", "tenant/acme"]);
}

#[test]
fn kinds_of_one_name_are_told_apart_and_hear_of_the_same_things() {
    let (caches, mut writers) = filled(vec![database("one")]);
    fill(&mut writers.caches, [cache("one")]);
    fill(&mut writers.message_queues, [message_queue("one")]);
    assert_eq!(
        names(&Cache::route((None, Some(&cache("one"))), &caches)),
        ["cache/one", "team/payments"]
    );
    let busy = placed(message_queue("two"), Phase::Provisioning);
    assert_eq!(
        names(&MessageQueue::route((Some(&busy), None), &caches)),
        ["cache/one", "db/one", "team/payments"],
        "a free place is anybody's"
    );
    let ready = broker("eu", None);
    assert_eq!(
        names(&Broker::route((None, Some(&ready)), &caches)),
        ["broker/eu", "cache/one", "db/one", "mq/one"]
    );
    let team = team_named("payments");
    let told = names(&Team::route((None, Some(&team)), &caches));
    assert_eq!(
        told,
        ["app/shop", "cache/one", "db/one", "mq/one", "team/payments"]
    );
    let mut own = cache("one");
    own.finalizers_mut().push(DATABASE_FINALIZER.to_owned());
    let told = names(&Cache::route((Some(&own), Some(&own)), &caches));
    assert_eq!(told, ["cache/one"], "the finalizer of another kind is none");
}

#[test]
fn a_namespace_of_a_team_tells_the_team_and_what_waits_inside() {
    let (caches, _writers) = filled(vec![database("waits"), placed(database("settled"), Phase::Ready)]);
    let namespace = |labels: serde_json::Value| -> PartialObjectMeta<Namespace> {
        serde_json::from_value(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "shop", "uid": "n", "labels": labels}}),
        )
        .unwrap()
    };
    let held = namespace(json!({labels::TEAM_UID: "uid-payments"}));
    let made = PartialObjectMeta::route((None, Some(&held)), &caches);
    assert_eq!(names(&made), ["db/waits", "team/payments"]);
    let changed = PartialObjectMeta::route((Some(&held), Some(&held)), &caches);
    assert_eq!(names(&changed), ["team/payments"]);
    let foreign = namespace(json!({labels::TEAM_UID: "uid-nobody"}));
    let lost = PartialObjectMeta::route((Some(&held), Some(&foreign)), &caches);
    assert_eq!(names(&lost), ["team/payments"], "whoever had it looks again");
}

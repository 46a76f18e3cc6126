//! Counts and references.

use super::*;
use crate::cache::caches;
use crate::testing::{cache, database, fill, message_queue, object};
use kidp_core::conditions::{READY, RECONCILING, is_true};
use serde_json::json;

#[test]
fn a_team_counts_what_it_owns_directly_and_through_applications() {
    let (readers, mut writers) = caches();
    let mut via_app = database("b");
    via_app.spec.owner.kind = OwnerKind::Application;
    via_app.spec.owner.name = "shop".into();
    let mut elsewhere = database("c");
    elsewhere.spec.owner.namespace = Some("other".into());
    fill(&mut writers.databases, [database("a"), via_app, elsewhere]);
    let mut queue = message_queue("d");
    queue.spec.owner.kind = OwnerKind::Application;
    queue.spec.owner.name = "shop".into();
    fill(&mut writers.caches, [cache("a")]);
    fill(&mut writers.message_queues, [queue]);
    let app: Application = object(
        "Application",
        "shop",
        &json!({"displayName": "Shop", "teamRef": {"name": "payments"}}),
    );
    let mut team: Team = object(
        "Team",
        "payments",
        &json!({"displayName": "Payments", "owners": ["ada"]}),
    );
    fill(&mut writers.applications, [app.clone()]);
    fill(&mut writers.teams, [team.clone()]);

    let status = team.next(&readers, Timestamp::UNIX_EPOCH);
    assert_eq!((status.databases, status.applications), (2, 1));
    assert_eq!((status.caches, status.message_queues), (1, 1));
    assert!(is_true(&status.conditions, READY) && status.observed_generation == Some(1));
    let app_status = Counted::next(&app, &readers, Timestamp::UNIX_EPOCH);
    assert_eq!(
        (app_status.databases, app_status.caches, app_status.message_queues),
        (1, 0, 1)
    );
    assert!(is_true(&app_status.conditions, READY));

    team.status = Some(status.clone());
    assert_eq!(
        team.next(&readers, Timestamp::from_second(9).unwrap()),
        status,
        "nothing new, nothing to write"
    );
}

#[test]
fn a_missing_reference_is_named_and_waited_for() {
    let (readers, mut writers) = caches();
    let team: Team = object(
        "Team",
        "payments",
        &json!({"displayName": "P", "owners": ["ada"], "tenantRef": {"name": "acme", "namespace": "org"}}),
    );
    let status = team.next(&readers, Timestamp::UNIX_EPOCH);
    assert!(is_true(&status.conditions, RECONCILING));
    assert_eq!(status.conditions[0].reason, "TenantNotFound");
    assert!(status.conditions[0].message.contains("`acme` in namespace `org`"));
    let app: Application = object(
        "Application",
        "shop",
        &json!({"displayName": "Shop", "teamRef": {"name": "nobody"}}),
    );
    assert_eq!(
        Counted::next(&app, &readers, Timestamp::UNIX_EPOCH).conditions[0].reason,
        "TeamNotFound"
    );

    fill(&mut writers.teams, [team]);
    let mut tenant: Tenant = object("Tenant", "acme", &json!({"displayName": "Acme"}));
    tenant.metadata.namespace = Some("org".into());
    assert_eq!(tenant.next(&readers, Timestamp::UNIX_EPOCH).teams, 1);
}

//! What would be done is told and not done, against an API server in memory. What a real one makes of it is tested in
//! `consequences_cluster.rs`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ApplyError, Consequence, Instance, Plan, Provisioner};
use serde_json::json;
use support::api_server::ApiServer;
use support::running::{SET, orders, running};
use support::{PASSWORD, instance};

async fn try_plan(server: &ApiServer, instance: &Instance) -> Result<Plan, ApplyError> {
    let before = server.with(|state| state.objects.clone());
    let plan = Postgresql::default().plan(&server.client(), instance).await;
    assert_eq!(server.take_writes(), [""; 0]);
    assert_eq!(server.with(|state| state.objects.clone()), before);
    plan
}

async fn plan(server: &ApiServer, instance: &Instance) -> Plan {
    try_plan(server, instance).await.unwrap()
}

#[tokio::test]
async fn a_new_instance_is_created_and_costs_nobody_anything() {
    let plan = plan(&ApiServer::default(), &orders()).await;
    assert_eq!(plan.created.len(), 7, "{plan}");
    assert_eq!((plan.changes.len(), plan.refusals.len()), (0, 0), "{plan}");
    assert_eq!(plan.consequence, Consequence::None);
    assert_eq!(
        plan.resources.before.to_string(),
        "0 CPU, 0 GiB memory, 0 GiB storage"
    );
    assert_eq!(
        plan.resources.after.to_string(),
        "0.25 CPU, 1 GiB memory, 10 GiB storage"
    );
}

#[tokio::test]
async fn what_is_as_it_should_be_needs_no_plan() {
    let plan = plan(&running().await, &orders()).await;
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.resources.before, plan.resources.after);
}

#[tokio::test]
async fn a_change_tells_now_and_then_and_what_it_does() {
    let server = running().await;
    let larger = instance("orders", "16", Size::Medium, &json!({}));
    let plan = plan(&server, &larger).await;
    assert_eq!(plan.created, [""; 0]);
    assert_eq!(plan.consequence, Consequence::RollingRestart);
    let cpu = plan
        .changes
        .iter()
        .find(|c| c.path.ends_with("limits.cpu"))
        .unwrap();
    assert_eq!((&cpu.before, &cpu.after), (&json!("1"), &json!("2")));
    assert_eq!(
        plan.resources.after.to_string(),
        "0.5 CPU, 2 GiB memory, 10 GiB storage"
    );
    let text = plan.to_string();
    assert!(text.contains("    - 1\n    + 2\n"), "{text}");
    assert!(text.ends_with("consequence: rolling restart"), "{text}");
}

#[tokio::test]
async fn storage_grows_without_a_restart_and_never_shrinks() {
    let server = running().await;
    let sized = |size: &str| instance("orders", "16", Size::Small, &json!({"storage": {"size": size}}));
    let larger = plan(&server, &sized("11Gi")).await;
    let paths: Vec<_> = larger
        .changes
        .iter()
        .map(|c| (c.object.as_str(), c.consequence))
        .collect();
    assert!(
        paths.contains(&(
            "PersistentVolumeClaim/data-orders-postgresql-0",
            Consequence::None
        )),
        "{larger}"
    );
    assert!(
        paths
            .iter()
            .all(|(object, consequence)| *consequence == Consequence::None
                || object.starts_with("StatefulSet/")),
        "{larger}"
    );
    assert_eq!(larger.refusals, []);
    assert_eq!(
        larger.resources.after.to_string(),
        "0.25 CPU, 1 GiB memory, 11 GiB storage"
    );

    let smaller = plan(&server, &sized("9Gi")).await;
    assert_eq!(smaller.consequence, Consequence::DataLoss);
    assert!(!smaller.refusals.is_empty(), "{smaller}");
}

#[tokio::test]
async fn what_would_be_refused_is_in_the_plan() {
    let server = running().await;
    let newer = plan(&server, &instance("orders", "17", Size::Small, &json!({}))).await;
    assert_eq!(newer.consequence, Consequence::DataLoss, "{newer}");
    assert!(newer.refusals[0].message.contains("version 16"), "{newer}");

    server.with(|state| {
        state.objects.get_mut(SET).unwrap()["metadata"]["labels"] = json!({"app": "other"});
    });
    let foreign = plan(&server, &orders()).await;
    let said = foreign.refusals[0].to_string();
    assert!(said.contains("not managed by this instance"), "{foreign}");
}

#[tokio::test]
async fn secrets_are_told_to_differ_and_not_how() {
    let server = running().await;
    let secret = "/api/v1/namespaces/shop/secrets/orders-postgresql-connection";
    server.with(|state| {
        let held = state.objects.get_mut(secret).unwrap();
        held["data"]["password"] = json!("WnE3Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5N3FaMDA=");
    });
    let plan = plan(&server, &orders()).await;
    let text = format!("{plan} {plan:?} {}", serde_json::to_string(&plan).unwrap());
    assert!(plan.changes.iter().any(|c| c.path == "data.uri"), "{plan}");
    assert!(!text.contains(PASSWORD) && !text.contains("WnE3"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_seen_is_unknown_and_a_lost_namespace_is_an_error() {
    let server = running().await;
    server.with(|state| state.forbidden = Some("/services/"));
    let plan = plan(&server, &orders()).await;
    assert_eq!(plan.unknown.len(), 2, "{plan}");
    assert!(!plan.is_empty());
    // Data whose Secret may not be read is not data whose Secret is lost.
    server.with(|state| state.forbidden = Some("/secrets/"));
    let unread = self::plan(&server, &orders()).await;
    assert_eq!((unread.unknown.len(), unread.refusals.len()), (1, 0), "{unread}");

    let gone = ApiServer::default();
    gone.with(|state| state.no_namespace = true);
    let error = try_plan(&gone, &orders()).await.unwrap_err();
    assert!(matches!(error, ApplyError::NamespaceMissing { .. }), "{error}");
}

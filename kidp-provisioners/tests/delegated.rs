//! An instance that CloudNativePG runs, against an API server in memory: what is written when, whose data is taken over,
//! and what a removal leaves. What CloudNativePG does with it is in `postgresql_ha.rs`.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ApplyError, Deprovisioned, Instance, Options, Provisioner, Readiness};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::instance;

const CLUSTER: &str = "/apis/postgresql.cnpg.io/v1/namespaces/shop/clusters/orders-postgresql";
const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/orders-postgresql";
const SECRET: &str = "/api/v1/namespaces/shop/secrets/orders-postgresql-connection";
const CLAIMS: &str = "/api/v1/namespaces/shop/persistentvolumeclaims";

fn one(installed: bool) -> Instance {
    let mut instance = instance("orders", "16", Size::Small, &json!({}));
    instance.features.cloudnative_pg = installed;
    instance
}

fn three(extra: &Value) -> Instance {
    let mut instance = instance("orders", "16", Size::Small, extra);
    instance.spec.high_availability = true;
    instance.features.cloudnative_pg = true;
    instance
}

async fn provision(server: &ApiServer, instance: &Instance) -> Result<Vec<String>, ApplyError> {
    let engine = Postgresql::default();
    let applied = engine
        .provision(&server.client(), instance, &Options::default())
        .await?;
    Ok(applied.written)
}

async fn remove(server: &ApiServer, instance: &Instance, policy: DeletionPolicy) -> Deprovisioned {
    let engine = Postgresql::default();
    engine
        .deprovision(&server.client(), instance, policy)
        .await
        .unwrap()
}

/// What CloudNativePG does: a claim with the labels that the `Cluster` gives it, and the `Cluster` as its owner.
fn make_claim(server: &ApiServer, ordinal: usize, status: &str) {
    let cluster = server.with(|s| s.objects[CLUSTER].clone());
    let mut labels = cluster["spec"]["inheritedMetadata"]["labels"].clone();
    labels["app.kubernetes.io/managed-by"] = json!("cloudnative-pg");
    labels["cnpg.io/cluster"] = json!("orders-postgresql");
    let name = format!("orders-postgresql-{ordinal}");
    let claim = json!({"metadata": {
        "name": name, "namespace": "shop", "uid": format!("claim-{ordinal}"), "resourceVersion": "1", "labels": labels,
        "annotations": {"cnpg.io/pvcStatus": status, "cnpg.io/nodeSerial": ordinal.to_string()},
        "ownerReferences": [{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "orders-postgresql",
            "uid": cluster["metadata"]["uid"], "controller": true}]
    }});
    server.with(|s| s.objects.insert(format!("{CLAIMS}/{name}"), claim));
}

fn paths(server: &ApiServer) -> Vec<String> {
    server.with(|s| s.objects.keys().cloned().collect())
}

#[tokio::test]
async fn the_cluster_comes_last_and_a_repeat_only_reads() {
    let server = ApiServer::default();
    assert_eq!(provision(&server, &three(&json!({}))).await.unwrap().len(), 5);
    let writes = server.take_writes();
    assert_eq!(writes.last().unwrap(), "PATCH clusters/orders-postgresql");
    assert_eq!(provision(&server, &three(&json!({}))).await.unwrap(), [""; 0]);
    let grown = three(&json!({"storage": {"size": "20Gi"}}));
    assert_eq!(
        provision(&server, &grown).await.unwrap(),
        ["Cluster/orders-postgresql"]
    );
    let shrunk = provision(&server, &three(&json!({}))).await;
    assert!(
        matches!(shrunk, Err(ApplyError::StorageShrink { .. })),
        "{shrunk:?}"
    );
}

#[tokio::test]
async fn a_version_that_does_not_open_the_data_is_refused() {
    let server = ApiServer::default();
    provision(&server, &three(&json!({}))).await.unwrap();
    server.take_writes();
    let newer = Instance {
        spec: instance("orders", "17", Size::Small, &json!({"highAvailability": true})).spec,
        ..three(&json!({}))
    };
    let refused = provision(&server, &newer).await;
    assert!(
        matches!(refused, Err(ApplyError::VersionChange { .. })),
        "{refused:?}"
    );
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn one_member_and_three_do_not_become_each_other() {
    let server = ApiServer::default();
    provision(&server, &one(true)).await.unwrap();
    let refused = provision(&server, &three(&json!({}))).await.unwrap_err();
    assert!(
        refused.to_string().contains("StatefulSet/orders-postgresql"),
        "{refused}"
    );
    assert!(matches!(refused, ApplyError::ShapeChange { .. }) && !refused.is_retryable());
    // The set is gone, its data is not.
    server.with(|s| {
        let set = s.objects.remove(SET).unwrap();
        let labels = &set["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"];
        let name = "data-orders-postgresql-0";
        let claim = json!({"metadata": {"name": name, "namespace": "shop", "uid": "c", "labels": labels}});
        s.objects.insert(format!("{CLAIMS}/{name}"), claim);
    });
    let refused = provision(&server, &three(&json!({}))).await.unwrap_err();
    assert!(
        refused.to_string().contains("data-orders-postgresql-0"),
        "{refused}"
    );

    let server = ApiServer::default();
    provision(&server, &three(&json!({}))).await.unwrap();
    make_claim(&server, 1, "ready");
    server.take_writes();
    let refused = provision(&server, &one(true)).await.unwrap_err();
    assert!(
        refused.to_string().contains("Cluster/orders-postgresql"),
        "{refused}"
    );
    // CloudNativePG has been removed, with its kinds; the data is still there.
    server.with(|s| {
        s.objects.remove(CLUSTER);
        s.not_served = Some("postgresql.cnpg.io");
    });
    let refused = provision(&server, &one(false)).await.unwrap_err();
    assert!(matches!(refused, ApplyError::ShapeChange { .. }), "{refused}");
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn data_that_is_kept_is_taken_from_its_cluster_and_handed_to_the_next_of_the_team() {
    let server = ApiServer::default();
    let first = three(&json!({}));
    provision(&server, &first).await.unwrap();
    make_claim(&server, 1, "ready");
    make_claim(&server, 2, "initializing");
    server.take_writes();
    assert!(matches!(
        remove(&server, &first, DeletionPolicy::Retain).await,
        Deprovisioned::InProgress(_)
    ));
    let writes = server.take_writes();
    assert_eq!(
        writes,
        [
            "PATCH persistentvolumeclaims/orders-postgresql-1",
            "DELETE clusters/orders-postgresql"
        ]
    );
    while remove(&server, &first, DeletionPolicy::Retain).await != Deprovisioned::Done {}
    // The copy that was not complete went.
    let claim = format!("{CLAIMS}/orders-postgresql-1");
    assert_eq!(paths(&server), [claim.clone(), SECRET.to_owned()]);
    let kept = server.with(|s| s.objects[&claim]["metadata"].clone());
    assert_eq!(kept["ownerReferences"], Value::Null);
    assert_eq!(kept["labels"]["cnpg.io/cluster"], "orders-postgresql");
    server.take_writes();
    assert_eq!(
        remove(&server, &first, DeletionPolicy::Retain).await,
        Deprovisioned::Done
    );
    assert_eq!(server.take_writes(), [""; 0]);

    let mut second = three(&json!({}));
    second.deployment_id =
        kidp_core::deployment::DeploymentId::derive("here", "shop", "Database", "orders", "2");
    let other_team = Instance {
        team: "shipping".to_owned(),
        ..second.clone()
    };
    let refused = provision(&server, &other_team).await;
    assert!(
        matches!(refused, Err(ApplyError::NameCollision { .. })),
        "{refused:?}"
    );
    assert_eq!(server.take_writes(), [""; 0]);
    provision(&server, &second).await.unwrap();
    let adopted = server.with(|s| s.objects[&claim]["metadata"]["labels"].clone());
    assert_eq!(
        adopted["platform.company.com/deployment-id"],
        second.deployment_id.as_str()
    );
    assert_eq!(adopted["platform.company.com/retained"], Value::Null);
    assert_eq!(provision(&server, &second).await.unwrap(), [""; 0]);
}

/// CloudNativePG takes over any claim of the name that has no owner.
#[tokio::test]
async fn data_of_nobody_knows_whom_is_not_taken_over() {
    let server = ApiServer::default();
    let claim = json!({"metadata": {"name": "orders-postgresql-1", "namespace": "shop", "uid": "x",
        "labels": {"cnpg.io/cluster": "orders-postgresql"}}});
    server.with(|s| s.objects.insert(format!("{CLAIMS}/orders-postgresql-1"), claim));
    let refused = provision(&server, &three(&json!({}))).await;
    assert!(
        matches!(refused, Err(ApplyError::NameCollision { .. })),
        "{refused:?}"
    );
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn removal_takes_everything_with_or_without_the_kind() {
    let server = ApiServer::default();
    provision(&server, &three(&json!({}))).await.unwrap();
    make_claim(&server, 1, "ready");
    while remove(&server, &three(&json!({})), DeletionPolicy::Delete).await != Deprovisioned::Done {}
    assert_eq!(paths(&server), [""; 0]);

    provision(&server, &three(&json!({}))).await.unwrap();
    server.with(|s| {
        s.objects.remove(CLUSTER);
        s.not_served = Some("postgresql.cnpg.io");
    });
    let gone = three(&json!({}));
    let observed = Postgresql::default()
        .observe(&server.client(), &gone)
        .await
        .unwrap();
    assert_eq!(
        Postgresql::default().readiness(&gone, &observed),
        Readiness::Progressing("Cluster is not there yet".to_owned())
    );
    while remove(&server, &gone, DeletionPolicy::Delete).await != Deprovisioned::Done {}
    assert_eq!(paths(&server), [""; 0]);
}

/// Who neither has CloudNativePG nor asks for it need not have a right to its kinds.
#[tokio::test]
async fn its_kinds_are_not_asked_for_without_it() {
    let server = ApiServer::default();
    server.with(|s| s.not_served = Some("postgresql.cnpg.io"));
    provision(&server, &one(false)).await.unwrap();
    while remove(&server, &one(false), DeletionPolicy::Delete).await != Deprovisioned::Done {}
    assert_eq!(paths(&server), [""; 0]);
}

//! What is written when, and what a failure at any point leaves, against an API server in memory.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::time::Duration;

use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ApplyError, Deprovisioned, Instance, Options, Provisioner};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::instance;

const SECRET: &str = "/api/v1/namespaces/shop/secrets/orders-postgresql-connection";
const CLAIM: &str = "/api/v1/namespaces/shop/persistentvolumeclaims/data-orders-postgresql-0";

fn orders() -> Instance {
    instance("orders", "16", Size::Small, &json!({}))
}

async fn provision(server: &ApiServer, instance: &Instance) -> Result<Vec<String>, ApplyError> {
    let options = Options {
        timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let applied = Postgresql::default()
        .provision(&server.client(), instance, &options)
        .await?;
    Ok(applied.written)
}

async fn deprovision(server: &ApiServer, policy: DeletionPolicy) -> Deprovisioned {
    Postgresql::default()
        .deprovision(&server.client(), &orders(), policy)
        .await
        .unwrap()
}

/// What the StatefulSet controller does.
fn make_claim(server: &ApiServer) {
    let set =
        server.with(|s| s.objects["/apis/apps/v1/namespaces/shop/statefulsets/orders-postgresql"].clone());
    let mut claim = set["spec"]["volumeClaimTemplates"][0].clone();
    claim["metadata"]["name"] = json!("data-orders-postgresql-0");
    claim["metadata"]["uid"] = json!("claim");
    claim["metadata"]["resourceVersion"] = json!("1");
    server.with(|s| s.objects.insert(CLAIM.to_owned(), claim));
}

fn password(server: &ApiServer) -> Value {
    server.with(|s| s.objects[SECRET]["data"]["password"].clone())
}

#[tokio::test]
async fn the_workload_comes_last_and_a_repeat_only_reads() {
    let server = ApiServer::default();
    assert_eq!(provision(&server, &orders()).await.unwrap().len(), 7);
    let writes = server.take_writes();
    assert_eq!(writes.last().unwrap(), "PATCH statefulsets/orders-postgresql");
    assert!(writes.contains(&"POST shop/secrets".to_owned()), "{writes:?}");
    assert_eq!(provision(&server, &orders()).await.unwrap(), [""; 0]);
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn a_failure_at_any_write_is_completed_by_the_next_call_with_the_same_password() {
    for number in 0..7 {
        let server = ApiServer::default();
        server.with(|s| s.fail_write = Some((number, 500)));
        let error = provision(&server, &orders()).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        server.with(|s| s.fail_write = None);
        let before = server.with(|s| s.objects.get(SECRET).map(|s| s["data"]["password"].clone()));
        provision(&server, &orders()).await.unwrap();
        if let Some(before) = before {
            assert_eq!(password(&server), before, "write {number}");
        }
        assert_eq!(server.with(|s| s.objects.len()), 7);
        server.take_writes();
        assert_eq!(provision(&server, &orders()).await.unwrap(), [""; 0]);
    }
}

#[tokio::test]
async fn any_foreign_object_stops_everything_before_the_first_write() {
    let reference = ApiServer::default();
    provision(&reference, &orders()).await.unwrap();
    let paths: Vec<_> = reference.with(|s| s.objects.keys().cloned().collect());
    for path in paths.iter().map(String::as_str).chain([CLAIM]) {
        let name = path.rsplit('/').next().unwrap();
        let server = ApiServer::default();
        let foreign =
            json!({"metadata": {"name": name, "namespace": "shop", "uid": "x", "labels": {"app": "other"}}});
        server.with(|s| s.objects.insert(path.to_owned(), foreign));
        let error = provision(&server, &orders()).await.unwrap_err();
        assert!(
            matches!(&error, ApplyError::NameCollision { object } if object.ends_with(name)),
            "{path}: {error}"
        );
        assert!(!error.is_retryable());
        assert_eq!(server.take_writes(), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn an_object_on_its_way_out_is_waited_for() {
    let server = ApiServer::default();
    provision(&server, &orders()).await.unwrap();
    make_claim(&server);
    server.with(|s| {
        s.objects.get_mut(CLAIM).unwrap()["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let error = provision(&server, &orders()).await.unwrap_err();
    assert!(matches!(error, ApplyError::StillDeleting { .. }), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn silence_and_refusals_are_told_apart() {
    let server = ApiServer::default();
    server.with(|s| s.hang = true);
    let error = provision(&server, &orders()).await.unwrap_err();
    assert!(
        matches!(error, ApplyError::Timeout { .. }) && error.is_retryable(),
        "{error}"
    );

    let server = ApiServer::default();
    server.with(|s| s.no_namespace = true);
    let error = provision(&server, &orders()).await.unwrap_err();
    assert_eq!(error.to_string(), "namespace shop does not exist");

    let server = ApiServer::default();
    server.with(|s| s.fail_write = Some((0, 422)));
    let error = provision(&server, &orders()).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().ends_with(": Injected"), "{error}");
}

#[tokio::test]
async fn versions_and_lost_secrets_are_refused_before_the_first_write() {
    let server = ApiServer::default();
    provision(&server, &orders()).await.unwrap();
    make_claim(&server);
    server.take_writes();
    let newer = instance("orders", "17", Size::Small, &json!({}));
    let error = provision(&server, &newer).await.unwrap_err();
    assert!(matches!(error, ApplyError::VersionChange { .. }), "{error}");
    let minor = instance("orders", "16.4", Size::Small, &json!({}));
    assert_eq!(provision(&server, &minor).await.unwrap().len(), 2);
    server.take_writes();

    server.with(|s| s.objects.remove(SECRET));
    let error = provision(&server, &orders()).await.unwrap_err();
    assert!(
        matches!(error, ApplyError::DataWithoutCredentials { .. }),
        "{error}"
    );
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn the_secret_shares_the_fate_of_the_claim() {
    let server = ApiServer::default();
    assert_eq!(
        deprovision(&server, DeletionPolicy::Delete).await,
        Deprovisioned::Done
    );

    // No data was made: nothing is worth keeping.
    provision(&server, &orders()).await.unwrap();
    assert!(matches!(
        deprovision(&server, DeletionPolicy::Retain).await,
        Deprovisioned::InProgress(_)
    ));
    assert_eq!(
        deprovision(&server, DeletionPolicy::Retain).await,
        Deprovisioned::Done
    );
    assert_eq!(server.with(|s| s.objects.len()), 0);

    // A snapshot cannot be taken: the data stays.
    for policy in [DeletionPolicy::Retain, DeletionPolicy::Snapshot] {
        provision(&server, &orders()).await.unwrap();
        let before = password(&server);
        if !server.with(|s| s.objects.contains_key(CLAIM)) {
            make_claim(&server);
        }
        while deprovision(&server, policy).await != Deprovisioned::Done {}
        assert_eq!(
            server.with(|s| s.objects.keys().cloned().collect::<Vec<_>>()),
            [CLAIM, SECRET]
        );
        assert_eq!(password(&server), before);
    }
    server.take_writes();
    assert_eq!(
        deprovision(&server, DeletionPolicy::Retain).await,
        Deprovisioned::Done
    );
    assert_eq!(server.take_writes(), [""; 0]);

    assert_eq!(
        deprovision(&server, DeletionPolicy::Delete).await,
        Deprovisioned::Done
    );
    assert_eq!(server.with(|s| s.objects.len()), 0);
}

#[tokio::test]
async fn removal_spares_what_is_not_of_the_instance_and_needs_no_valid_spec() {
    let server = ApiServer::default();
    provision(&server, &orders()).await.unwrap();
    let other = instance("invoices", "16", Size::Small, &json!({}));
    provision(&server, &other).await.unwrap();
    let broken = instance(
        "orders",
        "not a version",
        Size::Small,
        &json!({"storage": {"size": "?"}}),
    );
    let postgresql = Postgresql::default();
    let client = server.client();
    while postgresql
        .deprovision(&client, &broken, DeletionPolicy::Delete)
        .await
        .unwrap()
        != Deprovisioned::Done
    {}
    let left = server.with(|s| s.objects.keys().cloned().collect::<Vec<_>>());
    assert_eq!(left.len(), 7);
    assert!(left.iter().all(|path| path.contains("invoices")), "{left:?}");
}

//! What is said of an instance that cannot be seen as a whole, against an API server in memory.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ApplyError, Drift, Provisioner, UnknownReason};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::running::{CLAIM, orders, running};

async fn drift(server: &ApiServer) -> Result<Drift, ApplyError> {
    let drift = Postgresql::default().drift(&server.client(), &orders()).await;
    assert_eq!(server.take_writes(), [""; 0]);
    drift
}

fn lines(drift: &Drift) -> Vec<String> {
    drift.changes.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_was_just_applied_is_in_sync() {
    assert_eq!(drift(&running().await).await.unwrap(), Drift::default());
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_is_unknown_and_the_rest_is_compared() {
    for (kind, object) in [
        ("/statefulsets/", "StatefulSet/orders-postgresql"),
        ("/secrets/", "Secret/orders-postgresql-connection"),
        (
            "/persistentvolumeclaims/",
            "PersistentVolumeClaim/data-orders-postgresql-0",
        ),
    ] {
        let server = running().await;
        server.with(|state| {
            state.forbidden = Some(kind);
            let service = "/api/v1/namespaces/shop/services/orders-postgresql";
            state.objects.get_mut(service).unwrap()["spec"]["ports"][0]["port"] = json!(1);
        });
        let found = drift(&server).await.unwrap();
        assert!(!found.is_in_sync());
        let unknown: Vec<_> = found.unknown.iter().map(|u| u.object.as_str()).collect();
        assert_eq!(unknown, [object]);
        assert!(matches!(found.unknown[0].reason, UnknownReason::Forbidden(_)));
        assert_eq!(found.changes.len(), 1, "{kind}: {:?}", lines(&found));
        assert!(lines(&found)[0].starts_with("Service/"), "{:?}", lines(&found));
    }
}

#[tokio::test]
async fn what_is_made_from_a_certificate_that_may_not_be_read_is_unknown_too() {
    let server = running().await;
    server.with(|state| state.forbidden = Some("/secrets/"));
    let mut instance = orders();
    instance.spec.encryption.in_transit = true;
    instance.features.cert_manager = true;
    let found = Postgresql::default()
        .drift(&server.client(), &instance)
        .await
        .unwrap();
    let unknown: Vec<_> = found.unknown.iter().map(ToString::to_string).collect();
    assert!(unknown[0].ends_with("is unknown: Forbidden"), "{unknown:?}");
    let set = unknown.iter().find(|u| u.starts_with("StatefulSet/")).unwrap();
    assert!(set.ends_with("cannot be read"), "{set}");
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_said_in_one_sentence() {
    let server = ApiServer::default();
    server.with(|state| state.no_namespace = true);
    let error = drift(&server).await.unwrap_err();
    assert!(matches!(error, ApplyError::NamespaceMissing { .. }), "{error}");
    assert_eq!(error.to_string(), "namespace shop does not exist");
}

#[tokio::test]
async fn claims_that_are_lost_or_of_another_size_are_told() {
    let mutate = |change: fn(&mut Value)| async move {
        let server = running().await;
        server.with(|state| change(state.objects.get_mut(CLAIM).unwrap()));
        lines(&drift(&server).await.unwrap())
    };
    let claim = "PersistentVolumeClaim/data-orders-postgresql-0";
    let grown = mutate(|c| c["spec"]["resources"]["requests"]["storage"] = json!("99Gi")).await;
    let size = "spec.resources.requests.storage";
    assert_eq!(grown.len(), 1);
    assert!(
        grown[0].starts_with(&format!("{claim} {size}: ")) && grown[0].ends_with("became 99Gi"),
        "{grown:?}"
    );
    let going = mutate(|c| c["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")).await;
    assert_eq!(
        going,
        [format!(
            "{claim} metadata.deletionTimestamp: null became 2026-01-01T00:00:00Z"
        )]
    );

    let server = running().await;
    server.with(|state| state.objects.remove(CLAIM));
    assert_eq!(
        lines(&drift(&server).await.unwrap()),
        [format!("{claim} is missing")]
    );
}

//! How the certificate of an instance comes and goes, against an API server in memory.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/authority.rs"]
#[allow(dead_code)] // What only a cluster is given.
mod authority;
mod support;

use authority::Authority;
use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::observe::CertificateState;
use kidp_provisioners::{ApplyError, Deprovisioned, Instance, Options, Provisioner};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::{instance, of_kind};

const HOST: &str = "orders-postgresql.shop.svc";
const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
const CONNECTION: &str = "/api/v1/namespaces/shop/secrets/orders-postgresql-connection";
const CLAIM: &str = "/api/v1/namespaces/shop/persistentvolumeclaims/data-orders-postgresql-0";

fn own() -> Instance {
    let mut instance = instance(
        "orders",
        "16",
        Size::Small,
        &json!({"encryption": {"inTransit": true}}),
    );
    instance.features.cert_manager = true;
    instance
}

fn named() -> Instance {
    let encryption = json!({"inTransit": true, "certificate": {"secretName": "company"}});
    instance("orders", "16", Size::Small, &json!({"encryption": encryption}))
}

async fn provision(server: &ApiServer, instance: &Instance) -> Result<Vec<String>, ApplyError> {
    let options = Options::default();
    let applied = Postgresql::default()
        .provision(&server.client(), instance, &options)
        .await?;
    Ok(applied.written)
}

async fn state(server: &ApiServer, instance: &Instance) -> CertificateState {
    let observed = Postgresql::default()
        .observe(&server.client(), instance)
        .await
        .unwrap();
    observed.certificate.unwrap().state
}

async fn deprovision(server: &ApiServer, instance: &Instance, policy: DeletionPolicy) -> Deprovisioned {
    Postgresql::default()
        .deprovision(&server.client(), instance, policy)
        .await
        .unwrap()
}

/// Puts a Secret.
fn put(server: &ApiServer, name: &str, names: &[&str], labels: &Value) {
    let data = Authority::new().sign(names, 1);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": data, "metadata": {
        "name": name, "namespace": "shop", "labels": labels, "uid": name, "resourceVersion": "1"}});
    server.with(|s| s.objects.insert(format!("{SECRETS}/{name}"), secret));
}

/// What cert-manager does.
fn issue(server: &ApiServer) {
    for certificate in of_kind(&support::build(&own()), "Certificate") {
        let spec = &certificate["spec"];
        let labels = &spec["secretTemplate"]["labels"];
        put(server, spec["secretName"].as_str().unwrap(), &[HOST], labels);
    }
}

#[tokio::test]
async fn only_what_a_certificate_is_made_from_comes_before_it() {
    let server = ApiServer::default();
    assert_eq!(provision(&server, &own()).await.unwrap().len(), 4);
    let writes = server.take_writes();
    let of_cert_manager = |write: &String| write.contains(" certificates/") || write.contains(" issuers/");
    assert!(writes.iter().all(of_cert_manager), "{writes:?}");
    assert_eq!(provision(&server, &own()).await.unwrap(), [""; 0]);
    assert_eq!(state(&server, &own()).await, CertificateState::Missing);

    issue(&server);
    assert_eq!(state(&server, &own()).await, CertificateState::Changed);
    assert_eq!(provision(&server, &own()).await.unwrap().len(), 7);
    assert_eq!(state(&server, &own()).await, CertificateState::Current);
    assert_eq!(provision(&server, &own()).await.unwrap(), [""; 0]);

    issue(&server);
    assert_eq!(state(&server, &own()).await, CertificateState::Changed);
    let mut written = provision(&server, &own()).await.unwrap();
    written.sort();
    assert_eq!(
        written,
        [
            "Secret/orders-postgresql-connection",
            "StatefulSet/orders-postgresql"
        ]
    );
}

#[tokio::test]
async fn an_instance_that_runs_is_left_alone_until_its_certificate_is_good() {
    let server = ApiServer::default();
    let plain = instance("orders", "16", Size::Small, &json!({}));
    provision(&server, &plain).await.unwrap();
    server.take_writes();
    assert_eq!(provision(&server, &named()).await.unwrap(), [""; 0]);
    put(&server, "company", &["another.name"], &json!({}));
    let error = provision(&server, &named()).await.unwrap_err();
    assert!(matches!(error, ApplyError::BrokenCertificate { .. }), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        format!("Secret/company: its certificate is not for {HOST}, which clients connect to")
    );
    assert!(matches!(
        state(&server, &named()).await,
        CertificateState::Broken(_)
    ));
    assert_eq!(server.take_writes(), [""; 0]);
    put(&server, "company", &[HOST], &json!({}));
    assert_eq!(provision(&server, &named()).await.unwrap().len(), 3);
    // And back.
    assert_eq!(provision(&server, &plain).await.unwrap().len(), 3);
    let entries = server.with(|s| s.objects[CONNECTION]["data"].clone());
    assert!(entries["password"].is_string());
}

/// cert-manager would write over it.
#[tokio::test]
async fn a_secret_of_someone_elses_is_not_taken() {
    for name in ["orders-postgresql-tls", "orders-postgresql-ca"] {
        let server = ApiServer::default();
        put(&server, name, &[HOST], &json!({"app": "other"}));
        let error = provision(&server, &own()).await.unwrap_err();
        assert!(
            matches!(&error, ApplyError::NameCollision { object } if object.ends_with(name)),
            "{error}"
        );
        assert_eq!(server.take_writes(), [""; 0]);
    }
}

#[tokio::test]
async fn what_cert_manager_made_goes_under_every_policy_and_after_its_certificate() {
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        let server = ApiServer::default();
        provision(&server, &own()).await.unwrap();
        issue(&server);
        provision(&server, &own()).await.unwrap();
        let labels = server.with(|s| s.objects[CONNECTION]["metadata"]["labels"].clone());
        let claim = json!({"metadata": {"name": "data-orders-postgresql-0", "namespace": "shop", "labels": labels,
            "uid": "claim", "resourceVersion": "1"}});
        server.with(|s| s.objects.insert(CLAIM.to_owned(), claim));
        server.take_writes();
        while deprovision(&server, &own(), policy).await != Deprovisioned::Done {}
        let writes = server.take_writes();
        let place = |write: &str| writes.iter().position(|w| w == write).unwrap();
        assert!(
            place("DELETE certificates/orders-postgresql-tls")
                < place("DELETE secrets/orders-postgresql-tls")
        );
        let left = server.with(|s| s.objects.keys().cloned().collect::<Vec<_>>());
        let kept: &[&str] = if policy == DeletionPolicy::Retain {
            &[CLAIM, CONNECTION]
        } else {
            &[]
        };
        assert_eq!(left, kept);
    }
}

#[tokio::test]
async fn a_secret_that_is_named_stays_and_cert_manager_need_not_be_there() {
    let server = ApiServer::default();
    server.with(|s| s.no_cert_manager = true);
    put(&server, "company", &[HOST], &json!({}));
    assert_eq!(provision(&server, &named()).await.unwrap().len(), 7);
    while deprovision(&server, &named(), DeletionPolicy::Delete).await != Deprovisioned::Done {}
    let left = server.with(|s| s.objects.keys().cloned().collect::<Vec<_>>());
    assert_eq!(left, [format!("{SECRETS}/company")]);
}

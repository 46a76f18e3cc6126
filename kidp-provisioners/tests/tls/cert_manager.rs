//! With cert-manager: a CA of the instance's own, from nothing to nothing.

use k8s_openapi::api::core::v1::Secret;
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::conformance::live;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::engines::redis::Redis;
use kidp_provisioners::resources::certificate::{Certificate, Issuer};
use kidp_provisioners::{ClusterFeatures, Instance, Provisioner, Readiness};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bench::{Bench, eventually};
use crate::clients::{Client, POSTGRESQL, REDIS};

/// An instance in a cluster with cert-manager. Without it, the test has nothing to say, and fails.
async fn orders(bench: &Bench, client: &Client, uid: &str, extra: &Value) -> Instance {
    let features = ClusterFeatures::discover(&bench.client).await.unwrap();
    assert!(
        features.cert_manager,
        "this cluster has no cert-manager; on the devcluster: cargo xtask devcluster addons cert-manager"
    );
    Instance {
        features,
        ..bench.orders(client.version, uid, extra)
    }
}

/// Applies until the instance is ready, as a controller does.
async fn converge(bench: &Bench, instance: &Instance) {
    eventually("ready", || async {
        bench.provision(instance).await.unwrap();
        bench.readiness(instance).await == Readiness::Ready
    })
    .await;
}

async fn of_cert_manager(bench: &Bench) -> Vec<String> {
    let all = ListParams::default();
    let certificates = bench.api::<Certificate>().list(&all).await.unwrap();
    let issuers = bench.api::<Issuer>().list(&all).await.unwrap();
    let names = certificates.iter().map(ResourceExt::name_any);
    names.chain(issuers.iter().map(ResourceExt::name_any)).collect()
}

async fn life(test: &str, engine: Box<dyn Provisioner>, client: Client) {
    let bench = Bench::new(test, engine).await;
    let base = bench.base();
    let extra =
        json!({"encryption": {"inTransit": true, "minTLSVersion": "1.3"}, "deletionPolicy": "Retain"});
    let first = orders(&bench, &client, "1", &extra).await;
    let mut written = bench.provision(&first).await.unwrap();
    written.sort();
    let chain = [
        format!("Certificate/{base}-ca"),
        format!("Certificate/{base}-tls"),
        format!("Issuer/{base}-ca"),
        format!("Issuer/{base}-selfsigned"),
    ];
    assert_eq!(written, chain);
    let waits = Readiness::Progressing(format!("waits for the certificate Secret {base}-tls"));
    println!(
        "{:?} at first; {waits:?} unless cert-manager was quicker",
        bench.readiness(&first).await
    );
    converge(&bench, &first).await;
    assert_eq!(bench.provision(&first).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &first).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    let restarts = bench.pod(0).await.status.unwrap().container_statuses.unwrap()[0].restart_count;
    assert_eq!(restarts, 0);
    let serial = bench.served(&client).await;
    bench.proves(&client).await;

    renew(&bench, &format!("{base}-tls")).await;
    eventually("renewed", || async {
        let written = bench.provision(&first).await.unwrap();
        written.contains(&format!("StatefulSet/{base}"))
    })
    .await;
    converge(&bench, &first).await;
    assert_ne!(bench.served(&client).await, serial);

    bench.remove(&first, DeletionPolicy::Retain).await;
    gone(
        &bench,
        &[&format!("data-{base}-0"), &format!("{base}-connection")],
    )
    .await;
    let second = orders(&bench, &client, "2", &extra).await;
    converge(&bench, &second).await;
    bench.proves(&client).await;
    bench.remove(&second, DeletionPolicy::Delete).await;
    gone(&bench, &[]).await;
    bench.finish().await;
}

/// Nothing but this is left, and nothing comes back.
async fn gone(bench: &Bench, kept: &[&str]) {
    assert_eq!(bench.leftovers().await, kept);
    assert_eq!(of_cert_manager(bench).await, [""; 0]);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(bench.leftovers().await, kept);
}

/// What `cmctl renew` does.
async fn renew(bench: &Bench, name: &str) {
    let certificates = bench.api::<Certificate>();
    let serial = |secret: Secret| secret.data.unwrap()["tls.crt"].0.clone();
    let before = serial(bench.api::<Secret>().get(name).await.unwrap());
    let now = json!({"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by a test",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1});
    let patch = json!({"status": {"conditions": [now]}});
    certificates
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    eventually("issued", || async {
        serial(bench.api::<Secret>().get(name).await.unwrap()) != before
    })
    .await;
}

#[tokio::test]
async fn postgresql_with_a_ca_of_its_own() {
    life("tls-own-pg", Box::new(Postgresql::default()), POSTGRESQL).await;
}

#[tokio::test]
async fn redis_with_a_ca_of_its_own() {
    life("tls-own-redis", Box::new(Redis::cache()), REDIS).await;
}

/// What the conformance kit says of it.
#[tokio::test]
async fn a_life_with_a_ca_of_its_own_is_conformant() {
    let bench = Bench::new("tls-conformant", Box::new(Redis::database())).await;
    let instance = orders(&bench, &REDIS, "1", &json!({"encryption": {"inTransit": true}})).await;
    let patience = std::time::Duration::from_mins(3);
    let report = live::check(&bench.client, bench.engine.as_ref(), &instance, patience).await;
    println!("{report}");
    assert!(report.is_conformant(), "{report}");
    bench.finish().await;
}

/// An issuer of the company's, here one of the namespace.
#[tokio::test]
async fn redis_with_an_issuer_that_is_named() {
    let bench = Bench::new("tls-issuer", Box::new(Redis::cache())).await;
    // A CA that another instance has, as an issuer that is not the instance's own.
    let lender = orders(&bench, &REDIS, "1", &json!({"encryption": {"inTransit": true}})).await;
    let lender = Instance {
        name: "lender".to_owned(),
        ..lender
    };
    bench.provision(&lender).await.unwrap();
    let source = json!({"issuerRef": {"name": "lender-redis-ca"}});
    let extra = json!({"encryption": {"inTransit": true, "minTLSVersion": "1.3", "certificate": source}});
    let borrower = orders(&bench, &REDIS, "2", &extra).await;
    assert_eq!(
        bench.provision(&borrower).await.unwrap(),
        ["Certificate/orders-redis-tls"]
    );
    converge(&bench, &borrower).await;
    bench.proves(&REDIS).await;
    bench.remove(&borrower, DeletionPolicy::Delete).await;
    bench.remove(&lender, DeletionPolicy::Delete).await;
    gone(&bench, &[]).await;
    bench.finish().await;
}

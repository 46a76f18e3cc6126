//! With a Secret that the user names.

use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::mongodb::Mongodb;
use kidp_provisioners::engines::mysql::Mysql;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::engines::rabbitmq::Rabbitmq;
use kidp_provisioners::engines::redis::Redis;
use kidp_provisioners::{ApplyError, Instance, Provisioner, Readiness};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::bench::{Bench, eventually};
use crate::clients::{Client, MONGODB, MYSQL, POSTGRESQL, RABBITMQ, REDIS};
use crate::{SECRET, Secret};

fn encryption() -> Value {
    json!({"encryption": {"inTransit": true, "minTLSVersion": "1.3", "certificate": {"secretName": SECRET}}})
}

/// A life over TLS: waits for its certificate, serves it, refuses what it has to, and serves the next one.
async fn life(test: &str, engine: Box<dyn Provisioner>, client: Client) {
    let bench = Bench::new(test, engine).await;
    let (authority, host) = (Authority::new(), bench.host());
    let orders = bench.orders(client.version, "1", &encryption());
    assert_eq!(bench.provision(&orders).await.unwrap(), [""; 0]);
    let waits = Readiness::Progressing(format!("waits for the certificate Secret {SECRET}"));
    assert_eq!(bench.readiness(&orders).await, waits);

    bench.put_certificate(authority.sign(&[&host], 0x11)).await;
    assert_eq!(bench.provision(&orders).await.unwrap().len(), 7);
    bench.ready(&orders).await;
    assert_eq!(bench.provision(&orders).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &orders).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    assert_eq!(bench.served(&client).await, "11");
    bench.proves(&client).await;

    replaced(&bench, &orders, &client).await;
    bench.remove(&orders, DeletionPolicy::Delete).await;
    // The user's own.
    assert_eq!(bench.leftovers().await, [SECRET]);
    bench.finish().await;
}

/// A certificate of another CA takes the place of the first one, and clients are given that CA.
async fn replaced(bench: &Bench, orders: &Instance, client: &Client) {
    let host = bench.host();
    bench.put_certificate(Authority::new().sign(&[&host], 0x22)).await;
    assert!(matches!(bench.readiness(orders).await, Readiness::Progressing(_)));
    let mut written = bench.provision(orders).await.unwrap();
    written.sort();
    let mut expected = vec![format!("Secret/{}-connection", bench.base())];
    expected.extend(client.restarts.then(|| format!("StatefulSet/{}", bench.base())));
    assert_eq!(written, expected);
    if client.restarts {
        bench.ready(orders).await;
        assert_eq!(bench.served(client).await, "22");
    } else {
        let before = bench.pod(0).await.metadata.uid;
        eventually("served anew", || async {
            // Of another CA than the one that clients have now, until the server has read its files again.
            let answer = bench.handshake(client, &format!("-verify_hostname {host}")).await;
            answer.contains("Verify return code: 0 (ok)")
        })
        .await;
        assert_eq!(bench.served(client).await, "22");
        assert_eq!(bench.pod(0).await.metadata.uid, before);
        bench.ready(orders).await;
    }
}

#[tokio::test]
async fn postgresql() {
    life("tls-postgresql", Box::new(Postgresql::default()), POSTGRESQL).await;
}

#[tokio::test]
async fn redis() {
    life("tls-redis", Box::new(Redis::cache()), REDIS).await;
}

#[tokio::test]
async fn mysql() {
    life("tls-mysql", Box::new(Mysql::default()), MYSQL).await;
}

#[tokio::test]
async fn mongodb() {
    life("tls-mongodb", Box::new(Mongodb::default()), MONGODB).await;
}

#[tokio::test]
async fn rabbitmq() {
    life("tls-rabbitmq", Box::new(Rabbitmq::default()), RABBITMQ).await;
}

/// Several nodes, and the management plugin, which has a port of its own.
#[tokio::test]
async fn rabbitmq_of_three_nodes_with_management() {
    let bench = Bench::new("tls-rabbitmq-ha", Box::new(Rabbitmq::default())).await;
    let mut extra = encryption();
    extra["highAvailability"] = json!(true);
    extra["parameters"] = json!({"enabled_plugins": "rabbitmq_management"});
    let orders = bench.orders("4", "1", &extra);
    bench
        .put_certificate(Authority::new().sign(&[&bench.host()], 0x33))
        .await;
    bench.provision(&orders).await.unwrap();
    bench.ready(&orders).await;
    let declared = bench.client(RABBITMQ.image, 999, RABBITMQ.over_tls).await;
    assert!(declared.contains("declared"), "{declared}");
    let ask = "host=$(cat /binding/host)\n\
        printf 'GET / HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' \"$host\" | timeout 20 openssl s_client -quiet \
        -connect \"$host:15671\" -servername \"$host\" -verify_hostname \"$host\" -CAfile /binding/ca.crt \
        -verify_return_error 2> /dev/null | head -c 12";
    let answer = bench.client(RABBITMQ.image, 999, ask).await;
    assert_eq!(answer, "HTTP/1.1 200");
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

/// TLS is switched on for a cache that runs: until its certificate is there, and while it is broken, it goes on as it is.
#[tokio::test]
async fn what_runs_goes_on_until_its_certificate_is_good() {
    let bench = Bench::new("tls-on", Box::new(Redis::cache())).await;
    let (authority, host) = (Authority::new(), bench.host());
    let plain = bench.orders("8", "1", &json!({}));
    bench.provision(&plain).await.unwrap();
    bench.ready(&plain).await;
    let ask = "redis-cli --no-auth-warning -u \"$(cat /binding/uri)\"";
    let set = bench.client(REDIS.image, 999, &format!("{ask} set kept 1")).await;
    assert_eq!(set.trim(), "OK");

    let orders = bench.orders("8", "1", &encryption());
    assert_eq!(bench.provision(&orders).await.unwrap(), [""; 0]);
    assert!(matches!(
        bench.readiness(&orders).await,
        Readiness::Progressing(_)
    ));
    let get = bench.client(REDIS.image, 999, &format!("{ask} get kept")).await;
    assert_eq!(get.trim(), "1");

    let mut lacking = authority.sign(&[&host], 1);
    lacking.remove("ca.crt");
    let broken = [
        (lacking, "has no entry `ca.crt`"),
        (authority.sign(&["orders.example.com"], 1), host.as_str()),
    ];
    for (data, says) in broken {
        let _ = bench
            .api::<Secret>()
            .delete(SECRET, &DeleteParams::default())
            .await;
        bench.put_certificate(data).await;
        let error = bench.provision(&orders).await.unwrap_err();
        assert!(
            matches!(error, ApplyError::BrokenCertificate { .. }) && error.to_string().contains(says),
            "{error}"
        );
        let readiness = bench.readiness(&orders).await;
        assert!(
            matches!(&readiness, Readiness::Failed(why) if why.contains(SECRET) && why.contains(says)),
            "{readiness:?}"
        );
    }
    let get = bench.client(REDIS.image, 999, &format!("{ask} get kept")).await;
    assert_eq!(get.trim(), "1");

    bench.put_certificate(authority.sign(&[&host], 2)).await;
    let written = bench.provision(&orders).await.unwrap();
    assert!(
        written.contains(&"StatefulSet/orders-redis".to_owned()),
        "{written:?}"
    );
    bench.ready(&orders).await;
    let get = format!("{ask} --cacert /binding/ca.crt get kept");
    assert_eq!(bench.client(REDIS.image, 999, &get).await.trim(), "1");
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

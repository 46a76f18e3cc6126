//! Metrics of engines on the cluster of `KUBECONFIG`, read as a Prometheus would, in plain and with TLS.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test monitoring_cluster
//! ```
//! The exporters are those of Debian's stable release, which the devcluster's images hold, and not the newer ones that
//! are rendered unless told otherwise.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/bench.rs"]
#[allow(dead_code)] // A part of it is used.
mod bench;

use authority::{Authority, secret};
use bench::{Bench, eventually};
use k8s_openapi::api::core::v1::{Secret, Service};
use kidp_core::instance::{DeletionPolicy, ResourceType};
use kidp_provisioners::engines::Exporter;
use kidp_provisioners::engines::mysql::{Mysql, MysqlConfig};
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig};
use kidp_provisioners::engines::rabbitmq::Rabbitmq;
use kidp_provisioners::engines::redis::{Redis, RedisConfig};
use kidp_provisioners::{Drift, Instance, Provisioner};
use kube::api::PostParams;
use serde_json::{Value, json};

/// An image with bash.
const CLIENT: &str = "docker.io/library/postgres:15";
const CERTIFICATE: &str = "orders-certificate";

/// How an engine's metrics are read.
struct Usage {
    version: &'static str,
    port: u16,
    /// Lines that say that the exporter found its engine, and what it read there.
    says: [&'static str; 2],
    containers: usize,
}

impl Bench {
    /// The metrics of the first member, at its own address, asked for by a pod of this namespace.
    async fn metrics(&self, usage: &Usage) -> String {
        let member = format!("{0}-0.{0}-headless.{1}.svc", self.base(), self.namespace);
        let script = format!(
            "exec 3<> /dev/tcp/{member}/{}\n\
             printf 'GET /metrics HTTP/1.0\\r\\nHost: {member}\\r\\n\\r\\n' >&3\n\
             cat <&3",
            usage.port
        );
        self.client(CLIENT, 999, &script).await
    }

    /// Waits until they say that the engine is there.
    async fn serves(&self, usage: &Usage) {
        let mut last = String::new();
        for _ in 0..30 {
            last = self.metrics(usage).await;
            if usage
                .says
                .iter()
                .all(|line| last.lines().any(|l| l.starts_with(line)))
            {
                let series = last.lines().filter(|line| !line.starts_with('#')).count();
                println!("{} serves {series} series", self.base());
                return;
            }
        }
        panic!("{:?} are not in {last}", usage.says);
    }

    /// Containers of the first member, and whether one of them or the headless Service has the port.
    async fn shape(&self) -> (usize, bool, bool) {
        let pod = self.pod(0).await.spec.unwrap();
        let mut ports = pod.containers.iter().flat_map(|c| c.ports.iter().flatten());
        let in_pod = ports.any(|port| port.name.as_deref() == Some("metrics"));
        let name = format!("{}-headless", self.base());
        let service = self.api::<Service>().get(&name).await.unwrap().spec.unwrap();
        let mut ports = service.ports.iter().flatten();
        let in_service = ports.any(|port| port.name.as_deref() == Some("metrics"));
        (pod.containers.len(), in_pod, in_service)
    }

    /// Applies it and waits until there is nothing left to do.
    async fn becomes(&self, instance: &Instance) {
        self.provision(instance).await.unwrap();
        self.ready(instance).await;
        eventually("quiet", || async {
            self.provision(instance).await.unwrap().is_empty()
        })
        .await;
        let drift = self.engine.drift(&self.client, instance).await.unwrap();
        assert_eq!(drift, Drift::default());
    }
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut all = one.as_object().cloned().unwrap_or_default();
    all.extend(other.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

/// Metrics are served, in plain and with TLS, and turned off again.
async fn life(test: &str, engine: Box<dyn Provisioner>, usage: Usage) {
    let bench = Bench::new(test, engine).await;
    let host = format!("{}.{}.svc", bench.base(), bench.namespace);
    let certificate = secret(CERTIFICATE, Authority::new().sign(&[&host], 1));
    let secrets = bench.api::<Secret>();
    secrets
        .create(&PostParams::default(), &certificate)
        .await
        .unwrap();

    let on = json!({"monitoring": {"enabled": true, "fromNamespaces": [bench.namespace]}});
    let tls = json!({"encryption": {"inTransit": true, "certificate": {"secretName": CERTIFICATE}}});
    let orders = bench.orders(usage.version, "1", &on);
    bench.becomes(&orders).await;
    bench.serves(&usage).await;
    assert_eq!(bench.shape().await, (usage.containers, true, true));

    bench
        .becomes(&bench.orders(usage.version, "1", &merged(&on, &tls)))
        .await;
    bench.serves(&usage).await;

    let off = bench.orders(usage.version, "1", &tls);
    bench.becomes(&off).await;
    assert_eq!(bench.shape().await, (1, false, false));

    bench.remove(&off, DeletionPolicy::Delete).await;
    // The user's own.
    assert_eq!(bench.leftovers().await, [CERTIFICATE]);
    bench.finish().await;
}

#[tokio::test]
async fn postgresql() {
    let engine = Postgresql::new(PostgresqlConfig {
        exporter: Exporter::official("quay.io", "prometheuscommunity/postgres-exporter", "v0.17.1"),
        ..PostgresqlConfig::default()
    });
    let usage = Usage {
        version: "15",
        port: 9187,
        says: ["pg_up 1", "pg_database_size_bytes{datname=\"app\"}"],
        containers: 2,
    };
    life("metrics-postgresql", Box::new(engine), usage).await;
}

#[tokio::test]
async fn redis() {
    let config = RedisConfig {
        exporter: Exporter::official("docker.io", "oliver006/redis_exporter", "v1.69.0"),
        ..RedisConfig::default()
    };
    let usage = Usage {
        version: "8",
        port: 9121,
        says: ["redis_up 1", "redis_memory_max_bytes 1.61"],
        containers: 2,
    };
    let engine = Redis::new(ResourceType::Cache, config);
    life("metrics-redis", Box::new(engine), usage).await;
}

#[tokio::test]
async fn mysql() {
    let engine = Mysql::new(MysqlConfig {
        exporter: Exporter::official("docker.io", "prom/mysqld-exporter", "v0.17.2"),
        ..MysqlConfig::default()
    });
    let usage = Usage {
        version: "9",
        port: 9104,
        says: ["mysql_up 1", "mysql_global_status_uptime "],
        containers: 2,
    };
    life("metrics-mysql", Box::new(engine), usage).await;
}

#[tokio::test]
async fn rabbitmq() {
    let usage = Usage {
        version: "4",
        port: 15692,
        says: ["rabbitmq_identity_info{", "rabbitmq_connections "],
        containers: 1,
    };
    life("metrics-rabbitmq", Box::new(Rabbitmq::default()), usage).await;
}

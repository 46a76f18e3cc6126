//! PostgreSQL with failover on the cluster of `KUBECONFIG`, run by the real CloudNativePG.
//!
//! ```text
//! cargo xtask devcluster addons cloudnative-pg
//! cargo test -p kidp-provisioners --features cluster --test postgresql_ha -- --test-threads 1
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bench::{Bench, eventually};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::conformance::{Samples, live};
use kidp_provisioners::engines::Image;
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig};
use kidp_provisioners::resources::cloudnative_pg::Cluster;
use kidp_provisioners::resources::compute::RequestShare;
use kidp_provisioners::{ApplyError, ClusterFeatures, Instance, Readiness};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

/// What stands in for both images here; CloudNativePG brings its manager along, so that it takes any PostgreSQL.
const IMAGE: &str = "docker.io/library/postgres:17";
const UID: i64 = 999;
const VERSION: &str = "17";

/// Three members on a machine of two cores.
fn engine() -> Postgresql {
    Postgresql::new(PostgresqlConfig {
        ha_image: Image::official("library/postgres"),
        ha_uid: UID,
        request_share: RequestShare {
            cpu_percent: 5,
            memory_percent: 5,
        },
        ..PostgresqlConfig::default()
    })
}

async fn bench(test: &str) -> Bench {
    let bench = Bench::new(test, Box::new(engine())).await;
    let features = ClusterFeatures::discover(&bench.client).await.unwrap();
    assert!(
        features.cloudnative_pg,
        "CloudNativePG is not installed in this cluster: cargo xtask devcluster addons cloudnative-pg"
    );
    bench
}

impl Bench {
    /// `orders` with failover.
    fn three(&self, uid: &str, extra: &Value) -> Instance {
        let mut spec = json!({"highAvailability": true, "parameters": {"shared_buffers": "64MB"}});
        let more = extra.as_object().cloned().unwrap_or_default();
        spec.as_object_mut().unwrap().extend(more);
        let mut instance = self.orders(VERSION, uid, &spec);
        instance.features.cloudnative_pg = true;
        instance
    }

    /// Runs SQL through the connection Secret's entry, as an application that connects again when it is cut off.
    async fn sql(&self, entry: &str, statement: &str) -> String {
        let script = format!(
            "for i in $(seq 60); do psql -qtAX \"$(cat /binding/{entry})\" -c \"{statement}\" && exit 0; sleep 1; done; exit 1"
        );
        self.client(IMAGE, UID, &script).await
    }

    async fn primary(&self) -> Option<Pod> {
        let primary = ListParams::default().labels("cnpg.io/instanceRole=primary");
        let found = self.api::<Pod>().list(&primary).await.unwrap().items;
        found
            .into_iter()
            .find(|pod| pod.metadata.deletion_timestamp.is_none())
    }

    async fn everything(&self) -> Vec<String> {
        [
            self.leftovers().await,
            self.names::<Role>().await,
            self.names::<RoleBinding>().await,
            self.names::<Job>().await,
            self.names::<Cluster>().await,
        ]
        .concat()
    }

    async fn nothing_is_left(&self) {
        // The garbage collector takes what CloudNativePG made, each object by itself.
        eventually("empty", || async {
            let names = self.everything().await;
            if !names.is_empty() {
                println!("left: {names:?}");
            }
            names.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn data_outlives_a_primary_a_resize_and_growth() {
    let bench = bench("postgresql-ha").await;
    let orders = bench.three("1", &json!({}));
    assert_eq!(bench.provision(&orders).await.unwrap().len(), 5);
    bench.ready(&orders).await;
    assert_eq!(bench.provision(&orders).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &orders).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    bench
        .sql(
            "uri",
            "create table kept (n int); insert into kept select generate_series(1, 100)",
        )
        .await;
    eventually("replicated", || async {
        bench
            .sql("uri-ro", "select count(*), pg_is_in_recovery() from kept")
            .await
            .trim()
            == "100|t"
    })
    .await;

    // The one that takes writes is lost.
    let before = bench.primary().await.unwrap().name_any();
    let now = DeleteParams::default().grace_period(0);
    bench.api::<Pod>().delete(&before, &now).await.unwrap();
    eventually("another primary", || async {
        bench.primary().await.is_some_and(|pod| pod.name_any() != before)
    })
    .await;
    let count = bench
        .sql("uri", "insert into kept values (101); select count(*) from kept")
        .await;
    assert_eq!(count.trim(), "101");
    bench.ready(&orders).await;

    let resized = bench.three("1", &json!({"size": "medium"}));
    assert_eq!(
        bench.provision(&resized).await.unwrap(),
        ["Cluster/orders-postgresql"]
    );
    assert!(matches!(
        bench.readiness(&resized).await,
        Readiness::Progressing(_)
    ));
    bench.ready(&resized).await;
    let observed = bench.engine.observe(&bench.client, &resized).await.unwrap();
    assert_eq!(observed.actual_spec()["memory"], "4Gi");
    assert_eq!(bench.sql("uri", "select count(*) from kept").await.trim(), "101");

    // A setting that is loaded without a restart, and a volume that grows under the data.
    let grown = json!({"size": "medium", "storage": {"size": "2Gi"},
        "parameters": {"shared_buffers": "64MB", "statement_timeout": "77s"}});
    let grown = bench.three("1", &grown);
    bench.provision(&grown).await.unwrap();
    eventually("grown", || async {
        let claims = bench
            .api::<PersistentVolumeClaim>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let capacity = |claim: &PersistentVolumeClaim| {
            let capacity = claim.status.as_ref()?.capacity.as_ref()?;
            capacity.get("storage").map(|quantity| quantity.0.clone())
        };
        claims
            .iter()
            .all(|claim| capacity(claim).as_deref() == Some("2Gi"))
    })
    .await;
    bench.ready(&grown).await;
    assert_eq!(bench.sql("uri", "select count(*) from kept").await.trim(), "101");
    eventually("loaded", || async {
        bench.sql("uri", "show statement_timeout").await.trim() == "77s"
    })
    .await;

    let shrunk = bench.provision(&resized).await;
    assert!(
        matches!(shrunk, Err(ApplyError::StorageShrink { .. })),
        "{shrunk:?}"
    );
    let one = Instance {
        features: grown.features,
        ..bench.orders(VERSION, "1", &json!({"storage": {"size": "2Gi"}}))
    };
    let one = bench.provision(&one).await;
    assert!(matches!(one, Err(ApplyError::ShapeChange { .. })), "{one:?}");
    let mut newer = grown.clone();
    newer.spec.version = "16".to_owned();
    let other = bench.provision(&newer).await;
    assert!(
        matches!(other, Err(ApplyError::VersionChange { .. })),
        "{other:?}"
    );

    bench.remove(&grown, DeletionPolicy::Delete).await;
    bench.nothing_is_left().await;
    bench.finish().await;
}

#[tokio::test]
async fn what_is_retained_is_taken_over_by_three_alone() {
    let bench = bench("postgresql-kept").await;
    let first = bench.three("1", &json!({"deletionPolicy": "Retain"}));
    bench.provision(&first).await.unwrap();
    bench.ready(&first).await;
    bench
        .sql(
            "uri",
            "create table kept (n int); insert into kept select generate_series(1, 100)",
        )
        .await;
    let password = bench.secret().await["password"].clone();

    bench.remove(&first, DeletionPolicy::Retain).await;
    let kept = [
        "orders-postgresql-1",
        "orders-postgresql-2",
        "orders-postgresql-3",
        "orders-postgresql-connection",
    ];
    eventually("only data is left", || async { bench.everything().await == kept }).await;
    // Whoever waits for something to be collected late waits here.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.everything().await, kept);

    let other_team = Instance {
        team: "shipping".to_owned(),
        ..bench.three("2", &json!({}))
    };
    let refused = bench.provision(&other_team).await;
    assert!(
        matches!(refused, Err(ApplyError::NameCollision { .. })),
        "{refused:?}"
    );
    let mut one = bench.orders(VERSION, "2", &json!({}));
    for cloudnative_pg in [true, false] {
        one.features.cloudnative_pg = cloudnative_pg;
        let refused = bench.provision(&one).await;
        assert!(
            matches!(refused, Err(ApplyError::ShapeChange { .. })),
            "{refused:?}"
        );
    }

    let second = bench.three("2", &json!({}));
    bench.provision(&second).await.unwrap();
    bench.ready(&second).await;
    assert_eq!(bench.secret().await["password"], password);
    assert_eq!(bench.sql("uri", "select count(*) from kept").await.trim(), "100");
    assert_eq!(bench.provision(&second).await.unwrap(), [""; 0]);

    // A lost Secret is made anew, and CloudNativePG gives the login the new password.
    let secrets = bench.api::<Secret>();
    secrets
        .delete("orders-postgresql-connection", &DeleteParams::default())
        .await
        .unwrap();
    bench.provision(&second).await.unwrap();
    assert_ne!(bench.secret().await["password"], password);
    assert_eq!(bench.sql("uri", "select count(*) from kept").await.trim(), "100");

    bench.remove(&second, DeletionPolicy::Delete).await;
    bench.nothing_is_left().await;
    bench.finish().await;
}

/// The conformance kit's life of an instance, with every object sent as a dry run to the operator's webhook before.
#[tokio::test]
async fn a_life_is_conformant() {
    let bench = bench("postgresql-ha-kit").await;
    let engine = engine();
    let mut orders = bench.three("1", &json!({"parameters": {}}));
    let samples = Samples::around(&engine, &orders).in_namespace(&bench.namespace);
    assert!(samples.instances().len() > 30);
    let refused = live::acceptance(&bench.client, &engine, &samples).await;
    assert!(refused.is_empty(), "{refused:#?}");
    orders.spec.parameters = [("shared_buffers".to_owned(), "64MB".to_owned())].into();
    let report = live::check(&bench.client, &engine, &orders, Duration::from_mins(6)).await;
    assert!(report.is_conformant(), "{report}");
    bench.finish().await;
}

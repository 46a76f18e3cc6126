//! MongoDB on the cluster of `KUBECONFIG`, used through MongoDB's own shell.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test mongodb_cluster
//! ```
//! On the development cluster another server stands in behind the same image name; the test is the same.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;

use bench::Bench;
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::Readiness;
use kidp_provisioners::engines::mongodb::{Kind, Mongodb, PARAMETERS};
use serde_json::json;

const IMAGE: &str = "docker.io/library/mongo:7";
const UID: i64 = 999;

impl Bench {
    /// Evaluates JavaScript in the shell, connected as the Secret's `uri` says.
    async fn shell(&self, script: &str) -> String {
        let command = format!("exec mongosh --quiet --norc \"$(cat /binding/uri)\" --eval '{script}'");
        self.client(IMAGE, UID, &command).await
    }

    async fn insert(&self, number: usize) {
        let script = format!("print(db.orders.insertOne({{_id: {number}, item: \"book\"}}).acknowledged)");
        assert_eq!(self.shell(&script).await.trim(), "true");
    }

    async fn count(&self) -> String {
        let answer = self
            .shell("print(db.orders.find({item: \"book\"}).toArray().length)")
            .await;
        answer.trim().to_owned()
    }
}

#[tokio::test]
async fn documents_outlive_a_restart_a_resize_and_a_removal_that_retains() {
    let bench = Bench::new("mongodb", Box::new(Mongodb::default())).await;
    let first = bench.orders("7", "1", &json!({"deletionPolicy": "Retain"}));
    assert_eq!(bench.provision(&first).await.unwrap().len(), 7);
    bench.ready(&first).await;
    assert_eq!(bench.provision(&first).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &first).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    bench.insert(1).await;

    bench.restart(0).await;
    bench.ready(&first).await;
    assert_eq!(bench.count().await, "1");
    bench.insert(2).await;

    let resized = bench.orders(
        "7",
        "1",
        &json!({"deletionPolicy": "Retain", "size": "medium",
            "parameters": {"operationProfiling.slowOpThresholdMs": "250"}}),
    );
    bench.provision(&resized).await.unwrap();
    assert!(matches!(
        bench.readiness(&resized).await,
        Readiness::Progressing(_)
    ));
    bench.ready(&resized).await;
    assert_eq!(bench.count().await, "2");

    let password = bench.secret().await["password"].clone();
    bench.remove(&resized, DeletionPolicy::Retain).await;
    assert_eq!(
        bench.leftovers().await,
        ["data-orders-mongodb-0", "orders-mongodb-connection"]
    );
    let second = bench.orders("7", "2", &json!({}));
    bench.provision(&second).await.unwrap();
    bench.ready(&second).await;
    assert_eq!(bench.secret().await["password"], password);
    assert_eq!(bench.count().await, "2");

    let wrong = "mongosh --quiet --norc \"mongodb://app:wrong@$(cat /binding/host):27017/app?authSource=admin\" \
        --eval 'db.orders.countDocuments()' && exit 1; true";
    let refused = bench.client(IMAGE, UID, wrong).await;
    assert!(refused.contains("uthentication"), "{refused}");

    bench.remove(&second, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

/// Every accepted parameter at once: a name that the server does not know keeps it from starting.
#[tokio::test]
async fn a_server_starts_with_every_parameter() {
    let parameters: serde_json::Map<_, _> = PARAMETERS
        .iter()
        .map(|parameter| {
            let value = match parameter.kind {
                Kind::Integer { min, max } => min.max(200).min(max).to_string(),
                Kind::Real { min, .. } => min.to_string(),
                Kind::Choice(words) => words[0].to_owned(),
                Kind::List(words) => words.join(","),
                other => panic!("{other:?}"),
            };
            (parameter.name.to_owned(), json!(value))
        })
        .collect();
    let bench = Bench::new("mongodb-all", Box::new(Mongodb::default())).await;
    let orders = bench.orders("7", "1", &json!({"parameters": parameters}));
    bench.provision(&orders).await.unwrap();
    bench.ready(&orders).await;
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

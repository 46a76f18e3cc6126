//! A replica set of MongoDB on the cluster of `KUBECONFIG`, used through MongoDB's own shell.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test mongodb_set_cluster
//! ```
//! Where the cluster pulls the official image, a set is made of one server and loses each of its members. The development
//! cluster's stand-in has no replication: there, what is tested is that such an instance is never said to be ready, and
//! that the server which it was to be made of goes on with its data. See `docs/mongodb-stand-in.md`.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
#[allow(dead_code)] // Members end otherwise here.
mod bench;

use std::time::{Duration, Instant};

use bench::{Bench, eventually};
use k8s_openapi::api::core::v1::Pod;
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::mongodb::Mongodb;
use kidp_provisioners::{ApplyError, Instance, Readiness};
use kube::api::{DeleteParams, LogParams};
use serde_json::json;

const IMAGE: &str = "docker.io/library/mongo:7";
const UID: i64 = 999;

/// Long enough for a set to be made.
const WHILE: Duration = Duration::from_secs(45);

impl Bench {
    /// Evaluates JavaScript in the shell, connected as the Secret's `uri` says.
    async fn shell(&self, script: &str) -> String {
        let command = format!("exec mongosh --quiet --norc \"$(cat /binding/uri)\" --eval '{script}'");
        let answer = self.client(IMAGE, UID, &command).await;
        answer.trim().to_owned()
    }

    async fn insert(&self, number: usize) {
        let script = format!("print(db.orders.insertOne({{_id: {number}, item: \"book\"}}).acknowledged)");
        assert_eq!(self.shell(&script).await, "true");
    }

    async fn count(&self) -> String {
        self.shell("print(db.orders.find({item: \"book\"}).toArray().length)")
            .await
    }

    /// States of the members, as the set says: a primary and two secondaries.
    async fn is_whole(&self) -> bool {
        let script =
            "print(db.adminCommand({replSetGetStatus: 1}).members.map((m) => m.stateStr).sort().join(\" \"))";
        let states = self.shell(script).await;
        println!("{states}");
        states == "PRIMARY SECONDARY SECONDARY"
    }

    /// As when a node of the cluster is lost: no farewell.
    async fn kill(&self, ordinal: usize) {
        let name = format!("{}-{ordinal}", self.base());
        let now = DeleteParams::default().grace_period(0);
        self.api::<Pod>().delete(&name, &now).await.unwrap();
    }
}

#[tokio::test]
async fn one_server_becomes_a_set_that_loses_any_member_without_a_document() {
    let bench = Bench::new("mongodb-set", Box::new(Mongodb::default())).await;
    let alone = bench.orders("7", "1", &json!({}));
    bench.provision(&alone).await.unwrap();
    bench.ready(&alone).await;
    bench.insert(1).await;
    let set = bench.orders("7", "1", &json!({"highAvailability": true}));
    let log = bench
        .api::<Pod>()
        .logs("orders-mongodb-0", &LogParams::default())
        .await;
    bench.provision(&set).await.unwrap();
    if log.unwrap().contains("stand-in: this is FerretDB") {
        println!("the image is the stand-in, which has no replication");
        is_never_ready(&bench, &set).await;
    } else {
        outlives_its_members(&bench, &alone, &set).await;
    }
    bench.remove(&set, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

/// Servers that know nothing of a set are not taken for its members, and the one with the data is left alone.
async fn is_never_ready(bench: &Bench, set: &Instance) {
    let uid = bench.pod(0).await.metadata.uid;
    let start = Instant::now();
    while start.elapsed() < WHILE {
        assert_ne!(bench.readiness(set).await, Readiness::Ready);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(bench.pod(0).await.metadata.uid, uid);
    // At the address that has not changed.
    let script = "exec mongosh --quiet --norc \
        \"mongodb://$(cat /binding/username):$(cat /binding/password)@$(cat /binding/host):27017/app?authSource=admin\" \
        --eval 'print(db.orders.find({item: \"book\"}).toArray().length)'";
    assert_eq!(bench.client(IMAGE, UID, script).await.trim(), "1");
}

async fn outlives_its_members(bench: &Bench, alone: &Instance, set: &Instance) {
    bench.ready(set).await;
    assert!(bench.is_whole().await);
    assert_eq!(bench.count().await, "1");
    for ordinal in 0..3 {
        bench.kill(ordinal).await;
        bench.insert(10 + ordinal).await;
        bench.ready(set).await;
        eventually("whole", || bench.is_whole()).await;
    }
    assert_eq!(bench.count().await, "4");
    for ordinal in 0..3 {
        bench.kill(ordinal).await;
    }
    bench.ready(set).await;
    eventually("whole", || bench.is_whole()).await;
    assert_eq!(bench.count().await, "4");

    let resized = bench.orders("7", "1", &json!({"highAvailability": true, "size": "medium"}));
    bench.provision(&resized).await.unwrap();
    bench.ready(&resized).await;
    assert_eq!(bench.count().await, "4");
    bench.insert(20).await;

    let fewer = bench.provision(alone).await;
    assert!(
        matches!(fewer, Err(ApplyError::MembersShrink { from: 3, to: 1, .. })),
        "{fewer:?}"
    );
    bench.remove(&resized, DeletionPolicy::Retain).await;
    let again = bench.orders("7", "2", &json!({"highAvailability": true}));
    bench.provision(&again).await.unwrap();
    bench.ready(&again).await;
    assert_eq!(bench.count().await, "5");
    bench.remove(&again, DeletionPolicy::Delete).await;
}

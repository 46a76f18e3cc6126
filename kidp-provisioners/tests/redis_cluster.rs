//! Redis with Sentinel on the cluster of `KUBECONFIG`, used through `redis-cli`: members die, all of them at once too,
//! and what was acknowledged is there.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test redis_cluster
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
#[allow(dead_code)] // Members end otherwise here.
mod bench;

use std::time::{Duration, Instant};

use bench::{Bench, eventually};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::redis::Redis;
use kidp_provisioners::{ApplyError, Readiness};
use kube::api::DeleteParams;
use serde_json::json;

const IMAGE: &str = "docker.io/library/redis:8";
const UID: i64 = 999;
const MEMBERS: [usize; 3] = [0, 1, 2];

/// What clients of these tests say. Each `redis-cli` connects anew, as an application does after its connection broke.
const TOOLS: &str = r#"
export REDISCLI_AUTH=$(cat /binding/password)
cli() { timeout 5 redis-cli -h "$(cat /binding/host)" -p "$(cat /binding/port)" "$@"; }
member() { timeout 5 redis-cli -h "$1" -p 6379 "${@:2}"; }
# Writes a key until it is acknowledged.
put() {
    for try in $(seq 300); do
        [ "$(cli set "$1" "$1" 2>&1)" = OK ] && return
        sleep 0.2
    done
    echo "not written: $1: $(cli set "$1" "$1" 2>&1)"; exit 1
}
"#;

impl Bench {
    async fn redis(&self, script: &str) -> String {
        self.client(IMAGE, UID, &format!("{TOOLS}\n{script}")).await
    }

    /// Writes keys `<prefix>1` to `<prefix>N`; each is acknowledged.
    async fn write(&self, prefix: &str, count: usize) {
        self.redis(&format!("for n in $(seq {count}); do put {prefix}$n; done"))
            .await;
    }

    /// All keys are there, at the instance's address.
    async fn holds(&self, prefix: &str, count: usize) {
        let script = format!(
            "for n in $(seq {count}); do
                 for try in $(seq 50); do
                     value=$(cli get {prefix}$n 2>&1 || true)
                     [ \"$value\" = {prefix}$n ] && continue 2
                     # No answer is no loss.
                     [ -n \"$value\" ] || break
                     sleep 0.2
                 done
                 echo \"lost {prefix}$n: $value\"; exit 1
             done"
        );
        self.redis(&script).await;
    }

    /// What the three Sentinels say who the master is, and what each member says it is itself, a line each.
    async fn roles(&self) -> String {
        let script = r#"
            for at in $(tr , ' ' < /binding/sentinel-hosts); do
                timeout 5 redis-cli -h "${at%:*}" -p "${at#*:}" sentinel get-master-addr-by-name "$(cat /binding/sentinel-master)" | head -n 1
            done
            for at in $(tr , ' ' < /binding/sentinel-hosts); do
                echo "$(member "${at%:*}" role | head -n 1)=${at%%.*}"
            done"#;
        self.redis(script).await
    }

    /// The member that is the master: all agree.
    async fn master(&self) -> usize {
        let said = self.roles().await;
        println!("{}", said.trim().replace('\n', "  "));
        let ordinal = |name: &str| -> usize {
            let pod = name.split('.').next().unwrap();
            pod.rsplit('-').next().unwrap().parse().unwrap()
        };
        let mut lines: Vec<&str> = said.trim().lines().collect();
        let roles = lines.split_off(3);
        let named: Vec<_> = lines.into_iter().map(ordinal).collect();
        let masters: Vec<_> = roles
            .iter()
            .filter_map(|line| line.strip_prefix("master="))
            .map(ordinal)
            .collect();
        let replicas = roles.iter().filter(|line| line.starts_with("slave=")).count();
        assert_eq!(masters.len(), 1, "{said}");
        assert_eq!(replicas, 2, "{said}");
        assert_eq!(named, [masters[0]; 3], "{said}");
        masters[0]
    }

    /// As when a node of the cluster is lost: no farewell.
    async fn kill(&self, ordinal: usize) {
        let name = format!("{}-{ordinal}", self.base());
        let now = DeleteParams::default().grace_period(0);
        self.api::<Pod>().delete(&name, &now).await.unwrap();
    }
}

#[tokio::test]
async fn three_members_outlive_each_and_all_of_them() {
    let bench = Bench::new("redis-ha", Box::new(Redis::cache())).await;
    let three = bench.orders("8", "1", &json!({"highAvailability": true}));
    let start = Instant::now();
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    println!("three members ready after {:.1?}", start.elapsed());
    eventually("quiet", || async {
        bench.provision(&three).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(
        bench.engine.drift(&bench.client, &three).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    assert_eq!(bench.master().await, 0);
    bench.write("a", 200).await;

    // Whoever is the master, it is lost without a farewell, and writes go on.
    for round in 0..2 {
        let lost = bench.master().await;
        bench.kill(lost).await;
        let start = Instant::now();
        bench.write(&format!("killed{round}-"), 20).await;
        println!(
            "member {lost} killed; 20 writes acknowledged {:.1?} after, a client's start included",
            start.elapsed()
        );
        bench.ready(&three).await;
        bench.holds("a", 200).await;
        bench.holds(&format!("killed{round}-"), 20).await;
        bench.master().await;
    }

    // All of them at once.
    let before = bench.master().await;
    for ordinal in MEMBERS {
        bench.kill(ordinal).await;
    }
    bench.ready(&three).await;
    bench.holds("a", 200).await;
    println!("all killed: master was {before}, is {}", bench.master().await);

    // A master that loses its volume as well does not empty the others.
    let lost = bench.master().await;
    let claims = bench.api::<PersistentVolumeClaim>();
    let claim = format!("data-{}-{lost}", bench.base());
    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
    for ordinal in MEMBERS {
        bench.kill(ordinal).await;
    }
    eventually("ready with an empty volume", || async {
        // A claim ends when no pod has it, and a pod may have been made in between.
        let phase = claims.get_opt(&claim).await.unwrap();
        let is_gone = phase.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some());
        if is_gone
            && bench
                .api::<Pod>()
                .get_opt(&format!("{}-{lost}", bench.base()))
                .await
                .unwrap()
                .is_some()
        {
            bench.kill(lost).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        !is_gone && bench.readiness(&three).await == Readiness::Ready
    })
    .await;
    bench.holds("a", 200).await;
    bench.master().await;

    bench.remove(&three, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

/// A master that hangs is not restarted by the kubelet before its Sentinels have another. In version 7, with an upgrade
/// at the end.
#[tokio::test]
async fn a_master_that_hangs_is_replaced_and_comes_back_as_a_replica() {
    let bench = Bench::new("redis-hang", Box::new(Redis::database())).await;
    let three = bench.orders("7", "1", &json!({"highAvailability": true}));
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    bench.write("a", 50).await;
    let hung = bench.master().await;
    // The members' login, by which everything but these two stands still.
    let script = format!(
        r#"
        master=$(sed "s/:.*//;s/-[0-9]*\./-{hung}./" < /binding/sentinel-hosts)
        members=$({{ printf 'kidp redis members: '; printf %s "$REDISCLI_AUTH"; }} | sha256sum | cut -c1-64)
        REDISCLI_AUTH=$members member "$master" --user members client pause 55000 all
        start=$(date +%s%N)
        put hung1
        echo "written after $((($(date +%s%N) - start) / 1000000)) ms""#
    );
    let said = bench.redis(&script).await;
    println!("{said}");
    bench.holds("a", 50).await;
    bench.holds("hung", 1).await;
    // What it waited with is over, and it has been told.
    eventually("a replica", || async {
        bench
            .roles()
            .await
            .contains(&format!("slave={}-{hung}", bench.base()))
    })
    .await;
    bench.ready(&three).await;
    bench.holds("hung", 1).await;
    assert_ne!(bench.master().await, hung);

    // To the next version, member after member; one that still is of the old one cannot follow one of the new.
    let next = bench.orders("8", "1", &json!({"highAvailability": true}));
    bench.provision(&next).await.unwrap();
    bench.ready(&next).await;
    bench.holds("a", 50).await;
    bench.holds("hung", 1).await;
    bench.write("next", 10).await;
    bench.master().await;
    bench.remove(&three, DeletionPolicy::Delete).await;
    bench.finish().await;
}

#[tokio::test]
async fn one_member_becomes_three_and_writes_go_on_while_they_are_resized() {
    let bench = Bench::new("redis-grow", Box::new(Redis::cache())).await;
    let one = bench.orders("8", "1", &json!({}));
    bench.provision(&one).await.unwrap();
    bench.ready(&one).await;
    bench.write("before", 100).await;
    let address = (
        bench.secret().await["host"].clone(),
        bench.secret().await["port"].clone(),
    );

    let three = bench.orders(
        "8",
        "1",
        &json!({"highAvailability": true, "deletionPolicy": "Retain"}),
    );
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    bench.holds("before", 100).await;
    assert_eq!(bench.master().await, 0);
    assert_eq!(
        address,
        (
            bench.secret().await["host"].clone(),
            bench.secret().await["port"].clone()
        )
    );

    // Resized one after the other; a client writes all the while, and each write is acknowledged and kept.
    let large = json!({"highAvailability": true, "deletionPolicy": "Retain", "size": "medium"});
    let resized = bench.orders("8", "1", &large);
    bench.provision(&resized).await.unwrap();
    let (longest, ()) = tokio::join!(
        bench.redis(
            "longest=0
             for n in $(seq 200); do
                 start=$(date +%s%N); put during$n; took=$((($(date +%s%N) - start) / 1000000))
                 [ $took -le $longest ] || longest=$took
                 sleep 0.2
             done
             echo \"longest write $longest ms\""
        ),
        bench.ready(&resized)
    );
    println!("{longest}");
    bench.holds("before", 100).await;
    bench.holds("during", 200).await;
    bench.master().await;

    // What is left would be one of three, and not surely the one with the latest data.
    let fewer = bench.provision(&one).await;
    assert!(
        matches!(fewer, Err(ApplyError::MembersShrink { from: 3, to: 1, .. })),
        "{fewer:?}"
    );

    // Retained data is taken over with its master.
    bench.remove(&resized, DeletionPolicy::Retain).await;
    let again = bench.orders("8", "2", &json!({"highAvailability": true}));
    bench.provision(&again).await.unwrap();
    bench.ready(&again).await;
    bench.holds("during", 200).await;
    bench.master().await;
    bench.remove(&again, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

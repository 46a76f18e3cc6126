//! A database whose disk is full and whose pod is down gets a larger disk, and is back with its data.
//!
//! Needs a storage class that enforces sizes and lets volumes grow: `kidp-dev-sized` of the devcluster, elsewhere the
//! one that `KIDP_SIZED_STORAGE_CLASS` names.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[allow(dead_code)] // Shared with tests that use more of it.
#[path = "support/bench.rs"]
mod bench;

use std::cell::Cell;
use std::time::{Duration, Instant};

use bench::{Bench, eventually};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{Instance, Readiness};
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

const IMAGE: &str = "docker.io/library/postgres:15";
const UID: i64 = 999;
const CLAIM: &str = "data-orders-postgresql-0";
const SIZED: &str = "KIDP_SIZED_STORAGE_CLASS";
/// Several readiness probes long.
const REFUSES: Duration = Duration::from_secs(30);

/// Writes what is to be kept, then rows for as long as the disk has room. The server answers with an error, or dies of it
/// when it was its log that had no room; mostly it recovers from that.
const FILL: &str = r#"
    uri=$(cat /binding/uri)
    psql "$uri" -v ON_ERROR_STOP=1 -c 'create table kept (answer int)' -c 'insert into kept values (42)' -c checkpoint
    psql "$uri" -c 'create table filler (line text)' -c 'alter table filler alter line set storage external'
    for _ in $(seq 200); do
        psql "$uri" -c "insert into filler select repeat('x', 1000000) from generate_series(1, 16)" && continue
        echo the disk is full
        break
    done
"#;

struct FullDisk {
    bench: Bench,
    class: String,
}

/// Takes every block that anyone frees, so that a server that starts has no room for the file with its process id.
const HOG: &str = r#"
    for n in $(seq 1000000); do
        cat /dev/zero > "/data/hog.$n" 2>/dev/null || true
        sleep 0.1
    done
"#;

impl FullDisk {
    /// A pod on the same volume that leaves no room on it. It ends with [`FullDisk::release`].
    async fn hog(&self) {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "client-hog"},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": UID, "runAsGroup": UID, "fsGroup": UID,
                    "seccompProfile": {"type": "RuntimeDefault"}
                },
                "containers": [{
                    "name": "hog", "image": IMAGE, "command": ["bash", "-euc", HOG],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}]
                }],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}]
            }
        }));
        let pods = self.bench.api::<Pod>();
        pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
        eventually("hog started", || async {
            let pod = pods.get("client-hog").await.unwrap();
            pod.status.and_then(|status| status.phase).as_deref() == Some("Running")
        })
        .await;
    }

    /// Ends it, and waits until it has ended: deleted without grace, it would write on to the larger disk for a while.
    async fn release(&self) {
        let pods = self.bench.api::<Pod>();
        pods.delete("client-hog", &DeleteParams::default().grace_period(1))
            .await
            .unwrap();
        eventually("hog gone", || async {
            pods.get_opt("client-hog").await.unwrap().is_none()
        })
        .await;
    }

    fn sized(&self, size: &str) -> Instance {
        let extra = json!({"storage": {"size": size, "class": self.class}});
        self.bench.orders("15", "1", &extra)
    }

    async fn query(&self, sql: &str) -> String {
        let script = format!("psql \"$(cat /binding/uri)\" -v ON_ERROR_STOP=1 -qAtc \"{sql}\"");
        self.bench.client(IMAGE, UID, &script).await.trim().to_owned()
    }

    /// Restarts the pod until it is down. What a server frees as it ends, the next one may have before the hog does.
    async fn bring_down(&self) {
        for _ in 0..10 {
            self.bench.restart(0).await;
            let down = Cell::new(None);
            let refusing = Cell::new(None);
            eventually("down, or up again", || async {
                down.set(self.is_down(&refusing).await);
                down.get().is_some()
            })
            .await;
            if down.get() == Some(true) {
                return;
            }
        }
        panic!("the server started every time, though there is no room");
    }

    /// Whether the pod's container ended, is started over and over, or runs and has refused everybody for a while, as a
    /// server does that found room for the file with its process id only. Nothing is known while it starts.
    async fn is_down(&self, refusing: &Cell<Option<Instant>>) -> Option<bool> {
        let pods = self.bench.api::<Pod>();
        let pod = pods.get_opt("orders-postgresql-0").await.unwrap()?;
        let container = pod.status?.container_statuses?.into_iter().next()?;
        if container.ready || container.restart_count > 0 {
            return Some(!container.ready);
        }
        let since = refusing.get().unwrap_or_else(Instant::now);
        let started = container.started == Some(true);
        refusing.set(started.then_some(since));
        (started && since.elapsed() > REFUSES).then_some(true)
    }
}

#[tokio::test]
async fn a_full_disk_grows_though_the_pod_is_down_and_the_data_is_there() {
    let bench = Bench::new("full", Box::new(Postgresql::default())).await;
    let class = std::env::var(SIZED).unwrap_or_else(|_| "kidp-dev-sized".to_owned());
    let disk = FullDisk { bench, class };
    let (small, large) = (disk.sized("512Mi"), disk.sized("1Gi"));
    disk.bench.provision(&small).await.unwrap();
    disk.bench.ready(&small).await;
    let password = disk.bench.secret().await["password"].clone();

    let said = disk.bench.client(IMAGE, UID, FILL).await;
    println!("full: {said}");
    assert!(
        said.contains("the disk is full"),
        "the disk did not fill, does the class {} enforce sizes ({SIZED})? {said}",
        disk.class
    );
    disk.hog().await;
    disk.bring_down().await;
    disk.release().await;
    assert_ne!(disk.bench.readiness(&small).await, Readiness::Ready);

    disk.bench.provision(&large).await.unwrap();
    disk.bench.ready(&large).await;
    assert_eq!(disk.query("select answer from kept").await, "42");
    assert_eq!(
        disk.query("insert into kept values (43); select count(*) from kept")
            .await,
        "2"
    );
    assert_eq!(disk.bench.secret().await["password"], password);
    let claims = disk.bench.api::<PersistentVolumeClaim>();
    let claim = claims.get(CLAIM).await.unwrap();
    assert_eq!(claim.status.unwrap().capacity.unwrap()["storage"].0, "1Gi");
    assert_eq!(disk.bench.provision(&large).await.unwrap(), [""; 0]);

    disk.bench.remove(&large, DeletionPolicy::Delete).await;
    assert_eq!(disk.bench.leftovers().await, [""; 0]);
    disk.bench.finish().await;
}

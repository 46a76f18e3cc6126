//! A PostgreSQL that was made by hand is taken over in the cluster of `KUBECONFIG`.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test adoption_cluster
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;
mod support;

use bench::{Bench, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::adoption::{self, Adoption, AdoptionRefusal, Obstacle};
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ApplyError, Consequence, Instance};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use support::legacy::{self, CLAIM, NAME, PASSWORD};

const IMAGE: &str = "docker.io/library/postgres:15";
const POD: &str = "legacy-db-0";

/// The old database, ready, with a row in it.
async fn old(bench: &Bench) {
    let new = PostParams::default();
    let service = json!({"metadata": {"name": NAME}, "spec": {"clusterIP": "None", "selector": {"app": NAME},
        "publishNotReadyAddresses": true, "ports": [{"name": "sql", "port": 5432}]}});
    let service = serde_json::from_value(service).unwrap();
    bench
        .api::<Secret>()
        .create(&new, &legacy::secret())
        .await
        .unwrap();
    bench.api::<Service>().create(&new, &service).await.unwrap();
    bench
        .api::<StatefulSet>()
        .create(&new, &legacy::set())
        .await
        .unwrap();
    eventually("the old database is ready", || async {
        let set = bench.api::<StatefulSet>().get(NAME).await.unwrap();
        let status = set.status.unwrap_or_default();
        status.ready_replicas == Some(1) && status.current_revision == status.update_revision
    })
    .await;
    let script = "export PGPASSWORD=$(cat /binding/postgres-password)
        psql -h legacy-db -U $(cat /binding/user) -d shop -c 'create table goods as select 42 as n'";
    bench.client_with(NAME, IMAGE, 999, script).await;
}

fn wanted(bench: &Bench, pod_template: &str) -> Instance {
    let mut extra = legacy::adopt(pod_template);
    extra["storage"] = json!({"size": "512Mi"});
    bench.orders("15", "1", &extra)
}

async fn examine(bench: &Bench, instance: &Instance) -> Adoption {
    adoption::examine(bench.engine.as_ref(), &bench.client, instance)
        .await
        .unwrap()
}

/// What would show any write: the versions of all that is to be taken over.
async fn versions(bench: &Bench) -> Vec<Option<String>> {
    let set = bench.api::<StatefulSet>().get(NAME).await.unwrap();
    let claim = bench.api::<PersistentVolumeClaim>().get(CLAIM).await.unwrap();
    let secret = bench.api::<Secret>().get(NAME).await.unwrap();
    let mut all = vec![
        set.resource_version(),
        claim.resource_version(),
        secret.resource_version(),
    ];
    all.extend(bench.leftovers().await.into_iter().map(Some));
    all
}

async fn pod(bench: &Bench) -> Pod {
    bench.api::<Pod>().get(POD).await.unwrap()
}

/// The row, read as applications read it: by the connection Secret.
async fn row(bench: &Bench) -> String {
    let script = "psql \"$(cat /binding/uri)\" -qtAX -c 'select n from goods'";
    bench.client(IMAGE, 999, script).await.trim().to_owned()
}

async fn is_in_sync(bench: &Bench, instance: &Instance) {
    let drift = bench.engine.drift(&bench.client, instance).await.unwrap();
    assert!(drift.is_in_sync(), "{drift:?}");
    assert_eq!(bench.provision(instance).await.unwrap(), [""; 0]);
}

async fn is_refused_when_controlled(bench: &Bench) {
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
    let owner = bench
        .api::<ConfigMap>()
        .create(&PostParams::default(), &owner)
        .await
        .unwrap();
    let mut set = legacy::set();
    set.metadata.name = Some("owned".to_owned());
    set.metadata.owner_references = Some(
        serde_json::from_value(json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner.uid(), "controller": true}]))
        .unwrap(),
    );
    set.spec.as_mut().unwrap().replicas = Some(0);
    bench
        .api::<StatefulSet>()
        .create(&PostParams::default(), &set)
        .await
        .unwrap();
    let mut instance = wanted(bench, "Keep");
    "owned".clone_into(&mut instance.spec.adopt.as_mut().unwrap().stateful_set);
    let found = examine(bench, &instance).await;
    let by = "ConfigMap/owner".to_owned();
    assert!(
        found
            .blockers
            .iter()
            .any(|blocker| blocker.obstacle == Obstacle::Controlled { by: by.clone() }),
        "{:?}",
        found.blockers
    );
    assert!(matches!(found.decide(None), Err(AdoptionRefusal::Blocked(_))));
    let sets = bench.api::<StatefulSet>();
    sets.delete("owned", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let owners = bench.api::<ConfigMap>();
    owners
        .delete("owner", &kube::api::DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hand_made_postgresql_is_taken_over_and_nothing_is_lost() {
    let bench = Bench::new("adopt", Box::new(Postgresql::default())).await;
    old(&bench).await;
    is_refused_when_controlled(&bench).await;
    let before = versions(&bench).await;

    // Looking changes nothing, and what restarts is not done unless it is accepted.
    let keep = wanted(&bench, "Keep");
    let kept = examine(&bench, &keep).await;
    assert_eq!(kept.blockers, []);
    assert!(
        kept.plan.consequence < Consequence::RollingRestart,
        "{}",
        kept.plan
    );
    assert_eq!(kept.digest, None);
    let replaced = examine(&bench, &wanted(&bench, "Replace")).await;
    assert_eq!(
        replaced.plan.consequence,
        Consequence::RollingRestart,
        "{}",
        replaced.plan
    );
    assert!(matches!(
        replaced.decide(None),
        Err(AdoptionRefusal::NotAccepted { .. })
    ));
    assert_eq!(versions(&bench).await, before);

    // Kept: the pod goes on, and what is there is what is asked for.
    let old_pod = pod(&bench).await;
    let keep = Instance {
        adopted: Some(kept.decide(None).unwrap()),
        ..keep
    };
    bench.provision(&keep).await.unwrap();
    bench.ready(&keep).await;
    is_in_sync(&bench, &keep).await;
    assert_eq!(pod(&bench).await.uid(), old_pod.uid());
    assert_eq!(pod(&bench).await.spec, old_pod.spec);
    assert_eq!(row(&bench).await, "42");
    assert_eq!(bench.secret().await["password"], PASSWORD);

    // Replaced: only with the digest of the plan; then the pod is KIDP's own, and the data is what it was.
    let replace = Instance {
        adopted: keep.adopted.clone(),
        ..wanted(&bench, "Replace")
    };
    let again = examine(&bench, &replace).await;
    let wrong = "0".repeat(32);
    assert!(matches!(
        again.decide(Some(&wrong)),
        Err(AdoptionRefusal::NotAccepted { .. })
    ));
    let adopted = again.decide(again.digest.as_deref()).unwrap();
    let replace = Instance {
        adopted: Some(adopted),
        ..replace
    };
    bench.provision(&replace).await.unwrap();
    eventually("another pod", || async {
        let now = bench.api::<Pod>().get_opt(POD).await.unwrap();
        now.is_some_and(|now| now.uid() != old_pod.uid())
    })
    .await;
    bench.ready(&replace).await;
    is_in_sync(&bench, &replace).await;
    let containers = pod(&bench).await.spec.unwrap().containers;
    let containers: Vec<_> = containers.into_iter().map(|container| container.name).collect();
    assert_eq!(containers, ["postgresql"]);
    assert_eq!(row(&bench).await, "42");
    assert_eq!(bench.secret().await["password"], PASSWORD);

    removed(&bench, &replace).await;
    bench.finish().await;
}

/// Under `Retain` claim and connection stay and are not mistaken for a new instance's; under `Delete` they go. What KIDP
/// did not make stays either way.
async fn removed(bench: &Bench, adopted: &Instance) {
    bench.remove(adopted, DeletionPolicy::Retain).await;
    let left = ["legacy-db", CLAIM, NAME, "orders-postgresql-connection"];
    let mut found = bench.leftovers().await;
    found.sort();
    let mut expected: Vec<_> = left.map(ToOwned::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
    let plain = bench.orders("15", "1", &Value::Null);
    assert!(matches!(
        bench.provision(&plain).await,
        Err(ApplyError::AdoptedData { .. })
    ));
    bench.remove(adopted, DeletionPolicy::Delete).await;
    eventually("the claim is gone", || async {
        bench.leftovers().await == [NAME, NAME]
    })
    .await;
}

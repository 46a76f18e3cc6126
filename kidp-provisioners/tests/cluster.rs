//! Provisioning, repair and removal against the cluster of `KUBECONFIG`.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test cluster
//! ```
//! Each test has a namespace of its own that enforces the `restricted` profile, and removes it at its end.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::{Postgresql, PostgresqlConfig};
use kidp_provisioners::{ApplyError, Deprovisioned, Instance, Options, Provisioner, Readiness};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::instance;

const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(200);
const SECRET: &str = "orders-postgresql-connection";

/// A namespace and what the tests do in it.
struct Bench {
    client: Client,
    namespace: String,
    postgresql: Postgresql,
}

impl Bench {
    async fn new(test: &str) -> Self {
        let client = Client::try_default().await.unwrap();
        let namespace = format!("kidp-{test}-{}", std::process::id());
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(BTreeMap::from([(
                    "pod-security.kubernetes.io/enforce".to_owned(),
                    "restricted".to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        Self {
            client,
            namespace,
            postgresql: Postgresql::default(),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The instance `orders`; `uid` tells one life of the resource from the next.
    fn orders(&self, uid: &str, extra: &Value) -> Instance {
        let mut merged = json!({"storage": {"size": "512Mi"}});
        merged
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().cloned().unwrap_or_default());
        Instance {
            namespace: self.namespace.clone(),
            deployment_id: DeploymentId::derive("here", &self.namespace, "Database", "orders", uid),
            resource_uid: uid.to_owned(),
            ..instance("orders", "15", Size::Small, &merged)
        }
    }

    async fn provision(&self, instance: &Instance) -> Result<Vec<String>, ApplyError> {
        let applied = self
            .postgresql
            .provision(&self.client, instance, &Options::default())
            .await?;
        Ok(applied.written)
    }

    async fn readiness(&self, instance: &Instance) -> Readiness {
        let observed = self.postgresql.observe(&self.client, instance).await.unwrap();
        self.postgresql.readiness(instance, &observed)
    }

    async fn ready(&self, instance: &Instance) {
        eventually("ready", || async {
            self.readiness(instance).await == Readiness::Ready
        })
        .await;
    }

    async fn remove(&self, instance: &Instance, policy: DeletionPolicy) {
        eventually("removed", || async {
            let state = self
                .postgresql
                .deprovision(&self.client, instance, policy)
                .await
                .unwrap();
            state == Deprovisioned::Done
        })
        .await;
    }

    async fn password(&self) -> String {
        let secret = self.api::<Secret>().get(SECRET).await.unwrap();
        String::from_utf8(secret.data.unwrap()["password"].0.clone()).unwrap()
    }

    async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let found = self.api::<K>().list(&ListParams::default()).await.unwrap();
        // What every namespace has of itself.
        let builtin = ["default", "kube-root-ca.crt"];
        let names = found.iter().map(ResourceExt::name_any);
        names.filter(|name| !builtin.contains(&name.as_str())).collect()
    }

    async fn leftovers(&self) -> Vec<String> {
        [
            self.names::<StatefulSet>().await,
            self.names::<Pod>().await,
            self.names::<Service>().await,
            self.names::<ConfigMap>().await,
            self.names::<ServiceAccount>().await,
            self.names::<NetworkPolicy>().await,
            self.names::<PersistentVolumeClaim>().await,
            self.names::<Secret>().await,
        ]
        .concat()
    }

    async fn finish(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let start = Instant::now();
    while !check().await {
        assert!(start.elapsed() < PATIENCE, "not {what} within {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
    println!("{what} after {:.1?}", start.elapsed());
}

#[tokio::test]
async fn steady_state_is_silent_and_what_others_change_is_put_back() {
    let bench = Bench::new("repair").await;
    let orders = bench.orders("1", &json!({}));
    assert_eq!(bench.provision(&orders).await.unwrap().len(), 7);
    bench.ready(&orders).await;
    assert_eq!(bench.provision(&orders).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.postgresql.drift(&bench.client, &orders).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    let password = bench.password().await;

    let scale = json!({"spec": {"replicas": 0}});
    let by_hand = PatchParams {
        field_manager: Some("by-hand".to_owned()),
        ..PatchParams::default()
    };
    bench
        .api::<StatefulSet>()
        .patch("orders-postgresql", &by_hand, &Patch::Merge(&scale))
        .await
        .unwrap();
    let host = json!({"stringData": {"host": "elsewhere"}});
    bench
        .api::<Secret>()
        .patch(SECRET, &by_hand, &Patch::Merge(&host))
        .await
        .unwrap();
    bench
        .api::<ConfigMap>()
        .delete("orders-postgresql-config", &DeleteParams::default())
        .await
        .unwrap();

    let drift = bench.postgresql.drift(&bench.client, &orders).await.unwrap();
    let lines: Vec<String> = drift.changes.iter().map(ToString::to_string).collect();
    println!("{}", lines.join("\n"));
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("StatefulSet/orders-postgresql spec.replicas: 1 became 0 (by by-hand"))
    );
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("Secret/orders-postgresql-connection data.host: (hidden)"))
    );
    assert!(
        lines
            .iter()
            .any(|l| l == "ConfigMap/orders-postgresql-config is missing")
    );

    let mut written = bench.provision(&orders).await.unwrap();
    written.sort();
    assert_eq!(
        written,
        [
            "ConfigMap/orders-postgresql-config",
            "Secret/orders-postgresql-connection",
            "StatefulSet/orders-postgresql"
        ]
    );
    assert_eq!(bench.password().await, password);
    bench.ready(&orders).await;

    bench.remove(&orders, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn a_resize_changes_the_pod_and_a_volume_grows() {
    let bench = Bench::new("resize").await;
    let small = bench.orders("1", &json!({"storage": {"size": "40Gi"}}));
    bench.provision(&small).await.unwrap();
    bench.ready(&small).await;
    let uid = || async {
        bench
            .api::<Pod>()
            .get("orders-postgresql-0")
            .await
            .unwrap()
            .metadata
            .uid
    };
    let before = uid().await;

    let medium = json!({"size": "medium", "parameters": {"work_mem": "8MB"}, "storage": {"size": "40Gi"}});
    let medium = bench.orders("1", &medium);
    let written = bench.provision(&medium).await.unwrap();
    assert_eq!(
        written,
        [
            "ConfigMap/orders-postgresql-config",
            "StatefulSet/orders-postgresql"
        ]
    );
    // The old pod is still ready: that does not count.
    assert!(matches!(
        bench.readiness(&medium).await,
        Readiness::Progressing(_)
    ));
    bench.ready(&medium).await;
    assert_ne!(uid().await, before);
    let observed = bench.postgresql.observe(&bench.client, &medium).await.unwrap();
    assert_eq!(observed.actual_spec()["memory"], "4Gi");

    bench.remove(&medium, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn a_volume_grows_under_a_running_pod_and_what_would_lose_data_is_refused() {
    let bench = Bench::new("grow").await;
    // From 32Gi on the configuration does not follow the volume's size.
    let sized = |size: &str| bench.orders("1", &json!({"storage": {"size": size}}));
    bench.provision(&sized("40Gi")).await.unwrap();
    bench.ready(&sized("40Gi")).await;
    let pod = bench.api::<Pod>().get("orders-postgresql-0").await.unwrap();

    let grown = sized("50Gi");
    match bench.provision(&grown).await {
        Ok(_) => {
            let claim = bench
                .api::<PersistentVolumeClaim>()
                .get("data-orders-postgresql-0")
                .await
                .unwrap();
            assert_eq!(
                claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0,
                "50Gi"
            );
            assert_eq!(bench.provision(&grown).await.unwrap(), [""; 0]);
            bench.ready(&grown).await;
            let same = bench.api::<Pod>().get("orders-postgresql-0").await.unwrap();
            assert_eq!(same.metadata.uid, pod.metadata.uid);
            let error = bench.provision(&sized("45Gi")).await.unwrap_err();
            assert_eq!(error.to_string(), "storage.size cannot shrink from 50Gi to 45Gi");
        }
        // The storage class does not allow it: refused as such, before anything else was written.
        Err(error) => assert!(matches!(error, ApplyError::StorageResize { .. }), "{error}"),
    }
    let mut newer = grown.clone();
    newer.spec.version = "16".to_owned();
    let error = bench.provision(&newer).await.unwrap_err();
    assert!(matches!(error, ApplyError::VersionChange { .. }), "{error}");
    bench.remove(&grown, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn retained_data_is_adopted_with_its_password_by_the_same_team_only() {
    let bench = Bench::new("retain").await;
    let first = bench.orders("1", &json!({"deletionPolicy": "Retain"}));
    bench.provision(&first).await.unwrap();
    bench.ready(&first).await;
    let password = bench.password().await;
    bench.remove(&first, DeletionPolicy::Retain).await;
    assert_eq!(bench.leftovers().await, ["data-orders-postgresql-0", SECRET]);
    bench.remove(&first, DeletionPolicy::Retain).await;

    let stranger = Instance {
        team: "others".to_owned(),
        ..bench.orders("2", &json!({}))
    };
    let refused = bench.provision(&stranger).await;
    assert!(
        matches!(refused, Err(ApplyError::NameCollision { .. })),
        "{refused:?}"
    );

    let second = bench.orders("3", &json!({}));
    bench.provision(&second).await.unwrap();
    bench.ready(&second).await;
    assert_eq!(bench.password().await, password);
    assert_eq!(bench.provision(&second).await.unwrap(), [""; 0]);
    // The first life has nothing here any more.
    bench.remove(&first, DeletionPolicy::Delete).await;
    assert_eq!(bench.readiness(&second).await, Readiness::Ready);

    bench.remove(&second, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn a_collision_leaves_nothing_half_created() {
    let bench = Bench::new("collision").await;
    let foreign = Service {
        metadata: ObjectMeta {
            name: Some("orders-postgresql".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(k8s_openapi::api::core::v1::ServiceSpec {
            type_: Some("ExternalName".to_owned()),
            external_name: Some("db.example.com".to_owned()),
            ..Default::default()
        }),
        ..Service::default()
    };
    bench
        .api::<Service>()
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    let orders = bench.orders("1", &json!({}));
    let error = bench.provision(&orders).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Service/orders-postgresql exists and is not managed by this instance"
    );
    assert!(!error.is_retryable());
    assert_eq!(bench.leftovers().await, ["orders-postgresql"]);

    // Another instance of this name, asked for by another resource.
    bench
        .api::<Service>()
        .delete("orders-postgresql", &DeleteParams::default())
        .await
        .unwrap();
    bench.provision(&orders).await.unwrap();
    let error = bench.provision(&bench.orders("2", &json!({}))).await.unwrap_err();
    assert!(matches!(error, ApplyError::NameCollision { .. }), "{error}");
    bench
        .remove(&bench.orders("2", &json!({})), DeletionPolicy::Delete)
        .await;
    assert!(
        bench
            .names::<StatefulSet>()
            .await
            .contains(&"orders-postgresql".to_owned())
    );

    // Removed while it starts.
    bench.remove(&orders, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);

    let nowhere = Instance {
        namespace: "kidp-nowhere".to_owned(),
        ..orders
    };
    let error = bench.provision(&nowhere).await.unwrap_err();
    assert!(matches!(error, ApplyError::NamespaceMissing { .. }), "{error}");
    bench.finish().await;
}

#[tokio::test]
async fn a_corrected_spec_replaces_a_pod_that_cannot_start() {
    let mut bench = Bench::new("corrected").await;
    let orders = bench.orders("1", &json!({}));
    let mut broken = PostgresqlConfig::default();
    broken.image.registry = "registry.invalid".to_owned();
    broken.image.pull_policy = kidp_provisioners::engines::PullPolicy::Never;
    bench.postgresql = Postgresql::new(broken);
    bench.provision(&orders).await.unwrap();
    eventually("failed", || async {
        matches!(bench.readiness(&orders).await, Readiness::Failed(_))
    })
    .await;

    bench.postgresql = Postgresql::default();
    assert_eq!(
        bench.provision(&orders).await.unwrap(),
        ["StatefulSet/orders-postgresql"]
    );
    bench.ready(&orders).await;
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

#[tokio::test]
async fn many_calls_at_once_agree_on_one_password() {
    let bench = Bench::new("race").await;
    let orders = bench.orders("1", &json!({}));
    let calls = futures::future::join_all((0..6).map(|_| bench.provision(&orders))).await;
    for call in calls {
        assert!(
            call.as_ref().err().is_none_or(ApplyError::is_retryable),
            "{call:?}"
        );
    }
    let password = bench.password().await;
    bench.provision(&orders).await.unwrap();
    assert_eq!(bench.password().await, password);
    bench.remove(&orders, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);

    // A lost Secret with the data still there is said so, not papered over with a new password.
    bench.provision(&orders).await.unwrap();
    eventually("claimed", || async {
        !bench.names::<PersistentVolumeClaim>().await.is_empty()
    })
    .await;
    bench
        .api::<Secret>()
        .delete(SECRET, &DeleteParams::default())
        .await
        .unwrap();
    let error = bench.provision(&orders).await.unwrap_err();
    assert!(
        matches!(error, ApplyError::DataWithoutCredentials { .. }),
        "{error}"
    );
    bench.remove(&orders, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn an_instance_is_removed_quickly_while_it_initialises() {
    let bench = Bench::new("early").await;
    let orders = bench.orders("1", &json!({}));
    bench.provision(&orders).await.unwrap();
    eventually("started", || async {
        let pod = bench.api::<Pod>().get_opt("orders-postgresql-0").await.unwrap();
        pod.and_then(|pod| pod.status?.phase).as_deref() == Some("Running")
    })
    .await;
    let start = Instant::now();
    bench.remove(&orders, DeletionPolicy::Delete).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

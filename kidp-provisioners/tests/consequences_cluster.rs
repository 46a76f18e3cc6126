//! What is said of a change comes true: on the cluster of `KUBECONFIG`, objects of each engine are changed by hand and put
//! right, and specs are changed by plan, while it is watched whether the pod is replaced.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test consequences_cluster
//! ```
//! Whether a pod is going to be replaced is not a matter of waiting: the StatefulSet says which revision it is at, and
//! the pod which one it is of.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::mongodb::Mongodb;
use kidp_provisioners::engines::mysql::Mysql;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::engines::rabbitmq::Rabbitmq;
use kidp_provisioners::engines::redis::Redis;
use kidp_provisioners::{ApplyError, Consequence, Drift, Instance, Provisioner, UnknownReason};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

const BY_HAND: &str = "by-hand";

/// What there is of an instance, as far as a restart shows.
#[derive(Clone, Debug, PartialEq)]
struct State {
    set: Option<String>,
    pod: Option<String>,
    restarts: i32,
}

impl State {
    /// What happened between two looks.
    fn until(&self, later: &Self) -> Consequence {
        if self.set != later.set {
            Consequence::Recreate
        } else if (&self.pod, self.restarts) != (&later.pod, later.restarts) {
            Consequence::RollingRestart
        } else {
            Consequence::None
        }
    }
}

/// What happens on a cluster: a reload does not show.
fn shows(consequence: Consequence) -> Consequence {
    match consequence {
        Consequence::Reload => Consequence::None,
        other => other,
    }
}

impl Bench {
    /// The state once the StatefulSet's controller has done what it was asked for, and the pod is ready: one that is
    /// stopped while it starts may take all of its grace period.
    async fn settled(&self) -> State {
        let (sets, pods) = (self.api::<StatefulSet>(), self.api::<Pod>());
        let (base, name) = (self.base(), format!("{}-0", self.base()));
        let look = || async {
            let set = sets.get_opt(&base).await.unwrap()?;
            let status = set.status.clone()?;
            let pod = pods.get_opt(&name).await.unwrap()?;
            let is_seen = status.observed_generation? >= set.metadata.generation?;
            let is_current = pod.labels().get("controller-revision-hash") == status.update_revision.as_ref();
            let is_alone = status.replicas == set.spec.clone()?.replicas?;
            let status = pod.status.clone()?;
            let is_ready = status
                .conditions?
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True");
            let containers = status.container_statuses.unwrap_or_default();
            let is_whole = is_alone && is_ready && pod.metadata.deletion_timestamp.is_none();
            (is_seen && is_current && is_whole).then(|| State {
                set: set.uid(),
                pod: pod.uid(),
                restarts: containers.iter().map(|c| c.restart_count).sum(),
            })
        };
        eventually("settled", || async { look().await.is_some() }).await;
        look().await.unwrap()
    }

    async fn patch<K>(&self, name: &str, patch: &Value)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let params = PatchParams {
            field_manager: Some(BY_HAND.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.api::<K>().patch(name, &params, &patch).await.unwrap();
    }

    async fn delete<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api = self.api::<K>();
        api.delete(name, &DeleteParams::orphan()).await.unwrap();
        eventually("deleted", || async { api.get_opt(name).await.unwrap().is_none() }).await;
    }

    /// Changes something by hand.
    async fn by_hand(&self, what: &str) {
        let base = self.base();
        let other = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "other"}}});
        match what {
            "label" => self.patch::<StatefulSet>(&base, &other).await,
            "strategy" => {
                let patch = json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}});
                self.patch::<StatefulSet>(&base, &patch).await;
            }
            "scale" => {
                let patch = json!({"spec": {"replicas": 2}});
                self.patch::<StatefulSet>(&base, &patch).await;
            }
            "template" => {
                let annotations = json!({"platform.company.com/config-checksum": "other"});
                let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
                self.patch::<StatefulSet>(&base, &patch).await;
            }
            "config" => {
                let maps = self.api::<ConfigMap>();
                let name = format!("{base}-config");
                let files = maps.get(&name).await.unwrap().data.unwrap();
                let data: serde_json::Map<_, _> =
                    files.keys().map(|file| (file.clone(), json!("#"))).collect();
                self.patch::<ConfigMap>(&name, &json!({"data": data})).await;
            }
            "service" => {
                let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": "other"}}});
                self.patch::<Service>(&base, &patch).await;
            }
            "config gone" => self.delete::<ConfigMap>(&format!("{base}-config")).await,
            "service gone" => self.delete::<Service>(&base).await,
            "policy gone" => self.delete::<NetworkPolicy>(&base).await,
            "account gone" => self.delete::<ServiceAccount>(&base).await,
            "set gone" => self.delete::<StatefulSet>(&base).await,
            other => panic!("{other}"),
        }
    }

    /// Something is changed by hand and put right: found, with its author, and as grave as was said.
    async fn put_right(&self, instance: &Instance, what: &str, expected: Consequence) {
        self.by_hand(what).await;
        if what == "template" {
            self.settled().await;
        }
        let drift = self.engine.drift(&self.client, instance).await.unwrap();
        assert!(
            !drift.is_in_sync() && drift.unknown.is_empty(),
            "{what}: {drift:?}"
        );
        let is_by_hand = |change: &kidp_provisioners::Change| {
            change.path.is_empty()
                || change
                    .author
                    .as_ref()
                    .is_some_and(|author| author.manager == BY_HAND)
        };
        assert!(
            drift.changes.iter().all(is_by_hand),
            "{what}: {:?}",
            drift.changes
        );
        let gravest = shows(drift.consequence());
        assert_eq!(gravest, expected, "{what}: {:?}", drift.changes);

        let before = self.state_now().await;
        self.provision(instance).await.unwrap();
        let after = self.settled().await;
        println!(
            "{}: {what}: said {gravest}, {} changes",
            self.base(),
            drift.changes.len()
        );
        assert_eq!(before.until(&after), gravest, "{what}: {before:?} {after:?}");
        let left = self.engine.drift(&self.client, instance).await.unwrap();
        assert_eq!(left, Drift::default(), "{what}");
    }

    /// A claim that someone made larger would lose data if it was put right, so that it is told and left.
    async fn grown_by_hand(&self, instance: &Instance) {
        let name = format!("data-{}-0", self.base());
        let larger = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
        self.patch::<PersistentVolumeClaim>(&name, &larger).await;
        let drift = self.engine.drift(&self.client, instance).await.unwrap();
        let [change] = drift.changes.as_slice() else {
            panic!("{drift:?}")
        };
        assert_eq!(change.object, format!("PersistentVolumeClaim/{name}"));
        assert_eq!(change.author.as_ref().map(|a| a.manager.as_str()), Some(BY_HAND));
        assert_eq!(change.consequence, Consequence::DataLoss);
        assert_eq!(self.provision(instance).await.unwrap(), [""; 0]);
        let claim = self.api::<PersistentVolumeClaim>().get(&name).await.unwrap();
        let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
        assert_eq!(requests["storage"].0, "3Gi");
    }

    /// The state without waiting for anything.
    async fn state_now(&self) -> State {
        let set = self.api::<StatefulSet>().get_opt(&self.base()).await.unwrap();
        let pod = self.pod(0).await;
        let containers = pod.status.clone().unwrap().container_statuses.unwrap_or_default();
        State {
            set: set.and_then(|set| set.uid()),
            pod: pod.uid(),
            restarts: containers.iter().map(|c| c.restart_count).sum(),
        }
    }

    /// What a plan says comes true, and after it there is nothing to plan.
    async fn as_planned(&self, what: &str, to: &Instance, expected: Consequence) {
        let before = self.settled().await;
        let plan = self.engine.plan(&self.client, to).await.unwrap();
        println!("{}: {what}\n{plan}", self.base());
        assert_eq!(
            (shows(plan.consequence), plan.refusals.len()),
            (expected, 0),
            "{plan}"
        );
        assert_eq!(self.settled().await, before, "a plan does nothing");
        self.provision(to).await.unwrap();
        let after = self.settled().await;
        // Claims grow by a StatefulSet that is made again around its pods, which no client notices.
        let seen = match before.until(&after) {
            Consequence::Recreate if before.pod == after.pod => Consequence::None,
            Consequence::Recreate => Consequence::RollingRestart,
            other => other,
        };
        assert_eq!(seen, expected, "{what}: {before:?} {after:?}\n{plan}");
        let plan = self.engine.plan(&self.client, to).await.unwrap();
        assert!(plan.is_empty(), "{what}: {plan}");
    }
}

/// `on_growth` is what a larger volume does: none, but where the configuration follows its size.
async fn comes_true(
    engine: Box<dyn Provisioner>,
    version: &str,
    parameter: (&str, &str),
    on_growth: Consequence,
) {
    use Consequence::{None, Recreate, RollingRestart};
    let bench = Bench::new(&format!("true-{}", engine.engine()), engine).await;
    let first = bench.orders(version, "1", &json!({}));
    let new = bench.engine.plan(&bench.client, &first).await.unwrap();
    assert!(
        new.changes.is_empty() && new.refusals.is_empty() && new.consequence == None,
        "{new}"
    );
    let mut created = new.created;
    let mut written = bench.provision(&first).await.unwrap();
    created.sort();
    written.sort();
    assert_eq!(created, written);
    bench.ready(&first).await;
    let plan = bench.engine.plan(&bench.client, &first).await.unwrap();
    assert!(plan.is_empty(), "{plan}");

    for (what, expected) in [
        ("label", None),
        ("strategy", None),
        ("scale", None),
        ("config", None),
        ("service", None),
        ("config gone", None),
        ("service gone", None),
        ("policy gone", None),
        ("account gone", None),
        ("template", RollingRestart),
    ] {
        bench.put_right(&first, what, expected).await;
    }
    bench.by_hand("set gone").await;
    let drift = bench.engine.drift(&bench.client, &first).await.unwrap();
    assert_eq!(drift.consequence(), Recreate);
    let before = bench.pod(0).await.uid();
    bench.provision(&first).await.unwrap();
    assert_eq!(
        bench.settled().await.pod,
        before,
        "a set without pods takes those that are there"
    );

    let (name, value) = parameter;
    let tuned = bench.orders(version, "1", &json!({"parameters": {name: value}}));
    bench.as_planned("parameter", &tuned, RollingRestart).await;
    let grown = json!({"parameters": {name: value}, "storage": {"size": "2Gi"}});
    let grown = bench.orders(version, "1", &grown);
    bench.as_planned("storage", &grown, on_growth).await;
    let claims = bench.api::<PersistentVolumeClaim>();
    let claim = claims.get(&format!("data-{}-0", bench.base())).await.unwrap();
    let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
    assert_eq!(requests["storage"].0, "2Gi");
    bench.ready(&grown).await;
    bench.grown_by_hand(&grown).await;

    bench.remove(&grown, DeletionPolicy::Delete).await;
    bench.finish().await;
}

/// A client that may read everything in the namespace but Secrets.
async fn half_blind(bench: &Bench) -> kube::Client {
    const USER: &str = "kidp-half-blind";
    let role = json!({"metadata": {"name": USER}, "rules": [{
        "apiGroups": ["", "apps", "networking.k8s.io", "policy"], "verbs": ["get", "list"],
        "resources": ["configmaps", "services", "serviceaccounts", "persistentvolumeclaims", "statefulsets",
            "networkpolicies", "poddisruptionbudgets"]
    }]});
    let binding = json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]
    });
    let params = PostParams::default();
    let role: Role = serde_json::from_value(role).unwrap();
    bench.api::<Role>().create(&params, &role).await.unwrap();
    let binding: RoleBinding = serde_json::from_value(binding).unwrap();
    bench
        .api::<RoleBinding>()
        .create(&params, &binding)
        .await
        .unwrap();
    let mut config = kube::Config::infer().await.unwrap();
    config.auth_info.impersonate = Some(USER.to_owned());
    kube::Client::try_from(config).unwrap()
}

/// What may not be read is unknown, and a namespace that goes is told as such, by a real API server.
#[tokio::test]
async fn what_cannot_be_seen_is_not_in_sync() {
    let bench = Bench::new("unseen", Box::new(Postgresql::default())).await;
    let orders = bench.orders("15", "1", &json!({}));
    bench.provision(&orders).await.unwrap();
    let client = half_blind(&bench).await;
    let unknown = || async { bench.engine.drift(&client, &orders).await.unwrap() };
    // A new role is not known to every authorizer at once.
    eventually("authorized", || async { unknown().await.unknown.len() == 1 }).await;
    let drift = unknown().await;
    assert_eq!(drift.unknown[0].object, "Secret/orders-postgresql-connection");
    assert!(matches!(&drift.unknown[0].reason, UnknownReason::Forbidden(said) if said.contains("secrets")));
    assert_eq!(
        (drift.changes.as_slice(), drift.is_in_sync()),
        ([].as_slice(), false)
    );
    let plan = bench.engine.plan(&client, &orders).await.unwrap();
    assert_eq!((plan.created.len(), plan.unknown.len()), (0, 1), "{plan}");
    assert_eq!((plan.changes.len(), plan.refusals.len()), (0, 0), "{plan}");

    bench.remove(&orders, DeletionPolicy::Delete).await;
    let new = bench.engine.drift(&bench.client, &orders).await.unwrap();
    assert_eq!(new.changes.len(), 7, "all of it is missing");
    let mut elsewhere = orders.clone();
    elsewhere.namespace.push_str("-nowhere");
    for outcome in [
        bench.engine.drift(&bench.client, &elsewhere).await.map(drop),
        bench.engine.plan(&bench.client, &elsewhere).await.map(drop),
    ] {
        assert!(
            matches!(outcome, Err(ApplyError::NamespaceMissing { .. })),
            "{outcome:?}"
        );
    }
    let map = json!({"metadata": {"name": "held", "finalizers": ["example.com/held"]}});
    let map: ConfigMap = serde_json::from_value(map).unwrap();
    bench
        .api::<ConfigMap>()
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let (client, engine) = (bench.client.clone(), Postgresql::default());
    let maps = bench.api::<ConfigMap>();
    bench.finish().await;
    let going = engine.drift(&client, &orders).await;
    assert!(
        matches!(going, Err(ApplyError::NamespaceTerminating { .. })),
        "{going:?}"
    );
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &free).await.unwrap();
}

#[tokio::test]
async fn what_is_said_of_postgresql_comes_true() {
    let engine = Box::new(Postgresql::default());
    comes_true(engine, "15", ("work_mem", "8MB"), Consequence::RollingRestart).await;
}

#[tokio::test]
async fn what_is_said_of_mysql_comes_true() {
    let engine = Box::new(Mysql::default());
    comes_true(
        engine,
        "9",
        ("max_connections", "77"),
        Consequence::RollingRestart,
    )
    .await;
}

#[tokio::test]
async fn what_is_said_of_mongodb_comes_true() {
    let engine = Box::new(Mongodb::default());
    let parameter = ("net.maxIncomingConnections", "999");
    comes_true(engine, "7", parameter, Consequence::None).await;
}

#[tokio::test]
async fn what_is_said_of_redis_comes_true() {
    let engine = Box::new(Redis::cache());
    comes_true(engine, "7", ("maxmemory", "100mb"), Consequence::None).await;
}

#[tokio::test]
async fn what_is_said_of_rabbitmq_comes_true() {
    let engine = Box::new(Rabbitmq::default());
    comes_true(engine, "4", ("heartbeat", "30"), Consequence::RollingRestart).await;
}

//! The charts with helm itself, from a cluster without anything of KIDP: two installations and one `apply` give a database
//! that answers; the replica that stands by takes over; an upgrade and the way back do not touch the database; neither does
//! the removal of both releases, after which the same releases find it again.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kidp_core::crd::{Broker, Database};
use kidp_core::names::base_name;
use kidp_e2e::cluster::{apply, connect, create_namespace, delete_namespace, purge};
use kidp_e2e::fixtures::{database, wait_clean, wait_ready};
use kidp_e2e::helm::{Helm, Release};
use kidp_e2e::wait::{Seen, until};
use kidp_e2e::{Error, pods, sql};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize as _;
use serde_json::json;

const APPS: &str = "kidp-e2e-charts";
const OPERATOR: Release<'_> = Release {
    name: "e2e",
    namespace: "kidp-e2e-charts-operator",
    chart: "kidp-operator",
};
const BROKER: Release<'_> = Release {
    name: "e2e",
    namespace: "kidp-e2e-charts-broker",
    chart: "kidp-broker",
};
/// Names of what the releases make: release and chart.
const OPERATOR_NAME: &str = "e2e-kidp-operator";
const BROKER_NAME: &str = "e2e-kidp-broker";

const OPERATOR_VALUES: [&str; 1] = ["image.tag=dev"];
const BROKER_VALUES: [&str; 4] = [
    "image.tag=dev",
    "operator.namespace=kidp-e2e-charts-operator",
    "operator.name=e2e-kidp-operator",
    "registration.enabled=true",
];
/// Admission is for the namespace of this test alone.
const ADMISSION: [&str; 2] = [
    "admission.enabled=true",
    "admission.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=kidp-e2e-charts",
];

const APPLIED: &str = "
apiVersion: platform.company.com/v1
kind: Team
metadata: { name: payments, namespace: kidp-e2e-charts }
spec: { displayName: Payments, owners: [ada], members: [ada] }
---
apiVersion: platform.company.com/v1
kind: Database
metadata: { name: orders, namespace: kidp-e2e-charts }
spec:
  owner: { kind: Team, name: payments }
  engine: postgresql
  version: '15'
  size: small
  storage: { size: 1Gi }
";

struct Scene {
    client: Client,
    helm: Helm,
}

/// What of a pod changes when it is replaced, or one of its containers.
#[derive(Debug, PartialEq)]
struct Life {
    uid: Option<String>,
    restarts: i32,
    started: Option<Time>,
}

impl Scene {
    async fn report<T>(&self, result: kidp_e2e::Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => {
                let namespaces = [OPERATOR.namespace, BROKER.namespace];
                let logs = pods::logs_of(&self.client, &namespaces).await;
                let operator = pods::pod_report(&self.client, OPERATOR.namespace).await;
                let broker = pods::pod_report(&self.client, BROKER.namespace).await;
                panic!(
                    "{error}\n{operator}\n{broker}\n{}",
                    logs.unwrap_or_else(|error| error.to_string())
                )
            }
        }
    }

    async fn install(&self) {
        self.report(self.helm.install(OPERATOR, &OPERATOR_VALUES).await)
            .await;
        self.report(self.helm.install(BROKER, &BROKER_VALUES).await).await;
    }

    async fn ready(&self) -> Database {
        self.report(wait_ready(&self.client, APPS, "orders").await).await
    }

    async fn answer(&self, statements: &str) -> String {
        let database = self.ready().await;
        self.report(sql::run(&self.client, &database, statements).await)
            .await
    }

    async fn life(&self) -> Life {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), APPS);
        let name = format!("{}-0", base_name("orders", "postgresql"));
        let pod = api.get(&name).await.unwrap();
        assert_eq!(pod.metadata.deletion_timestamp, None);
        let status = pod.status.unwrap();
        let containers = status.container_statuses.unwrap_or_default();
        Life {
            uid: pod.metadata.uid,
            restarts: containers.iter().map(|c| c.restart_count).sum(),
            started: status.start_time,
        }
    }

    /// Replicas and arguments that a release's pods run with.
    async fn running(&self, release: Release<'_>, name: &str) -> (i32, Vec<String>) {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), release.namespace);
        let live = api.get(name).await.unwrap();
        let (spec, status) = (live.spec.unwrap(), live.status.unwrap());
        assert_eq!(status.observed_generation, live.metadata.generation);
        assert_eq!(status.updated_replicas, spec.replicas, "{name} is rolled out");
        let containers = spec.template.spec.unwrap().containers;
        (
            status.ready_replicas.unwrap_or_default(),
            containers[0].args.clone().unwrap(),
        )
    }

    /// The pod that holds the operator's lease; empty for as long as none does.
    async fn leader(&self) -> String {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR.namespace);
        let lease = api.get("kidp-operator").await.unwrap();
        lease.spec.and_then(|s| s.holder_identity).unwrap_or_default()
    }

    async fn broker(&self) -> Broker {
        let api: Api<Broker> = Api::namespaced(self.client.clone(), OPERATOR.namespace);
        api.get("local").await.unwrap()
    }
}

/// Every definition's kind.
fn kinds() -> impl Iterator<Item = ApiResource> {
    let all = kidp_core::crd::operator_crds()
        .into_iter()
        .chain(kidp_core::crd::broker_crds());
    all.map(|crd| {
        let version = &crd.spec.versions[0].name;
        let gvk = GroupVersionKind::gvk(&crd.spec.group, version, &crd.spec.names.kind);
        ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural)
    })
}

/// Makes the cluster one that KIDP was never in. Refuses where there are objects of somebody.
async fn make_bare(client: &Client) {
    purge(client, "kidp-e2e").await.unwrap();
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    // Of a run that failed. Everything else without a namespace is taken up by the same release.
    let _ = webhooks.delete(OPERATOR_NAME, &DeleteParams::default()).await;
    for kind in kinds() {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let left = match api.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            other => other.unwrap().items,
        };
        // Usage is kept for more than a year after what it is of is gone.
        let somebodys: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
        assert!(
            somebodys.is_empty() || kind.kind == "UsageRecord",
            "not a bare cluster: it has {}: {somebodys:?}",
            kind.plural
        );
    }
    remove_definitions(client).await;
}

async fn remove_definitions(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let names: Vec<_> = kinds()
        .map(|kind| format!("{}.{}", kind.plural, kind.group))
        .collect();
    for name in &names {
        match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.unwrap()),
        }
    }
    for name in &names {
        let what = format!("{name} to be gone");
        let gone = until(&what, Duration::from_mins(1), async || {
            let found = api.get_opt(name).await;
            Ok(match found {
                Ok(None) => Seen::Done(()),
                other => Seen::NotYet(format!("{:?}", other.map(|o| o.map(|crd| crd.metadata)))),
            })
        });
        gone.await.unwrap();
    }
}

async fn definitions(client: &Client) -> usize {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut found = 0;
    for kind in kinds() {
        let name = format!("{}.{}", kind.plural, kind.group);
        found += usize::from(api.get_opt(&name).await.unwrap().is_some());
    }
    found
}

fn has(arguments: &[String], one: &str) -> bool {
    arguments.iter().any(|argument| argument == one)
}

#[tokio::test]
async fn two_releases_and_one_apply() {
    let client = connect().await.unwrap();
    let helm = Helm::from_env().unwrap();
    make_bare(&client).await;
    for namespace in [APPS, OPERATOR.namespace, BROKER.namespace] {
        create_namespace(&client, namespace).await.unwrap();
    }
    let scene = Scene { client, helm };
    scene.install().await;
    let documents = serde_yaml_ng::Deserializer::from_str(APPLIED);
    let objects: Vec<_> = documents
        .map(|document| DynamicObject::deserialize(document).unwrap())
        .collect();
    scene.report(apply(&scene.client, &objects).await).await;
    let made = "create table t(i int); insert into t values (42); select i from t";
    assert_eq!(scene.answer(made).await, "42");

    Box::pin(another_takes_over(&scene)).await;
    Box::pin(an_upgrade_and_the_way_back(&scene)).await;
    Box::pin(removal_and_return(&scene)).await;
}

/// The replica that leads is deleted, with the grace of its pod and with none: it gives its lease back either way.
async fn another_takes_over(scene: &Scene) {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), OPERATOR.namespace);
    let deployments: Api<Deployment> = Api::namespaced(scene.client.clone(), OPERATOR.namespace);
    for (how, grace) in [("with grace", None), ("without grace", Some(0))] {
        let both = until("two replicas", Duration::from_mins(1), async || {
            let ready = deployments
                .get(OPERATOR_NAME)
                .await
                .unwrap()
                .status
                .and_then(|s| s.ready_replicas);
            Ok(if ready == Some(2) {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{ready:?} ready"))
            })
        });
        scene.report(both.await).await;
        let gone = scene.leader().await;
        let params = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        let began = Instant::now();
        pods.delete(&gone, &params).await.unwrap();
        let next = until("another replica to lead", Duration::from_mins(1), async || {
            let leader = scene.leader().await;
            Ok(if leader.is_empty() || leader == gone {
                Seen::NotYet(leader)
            } else {
                Seen::Done(())
            })
        });
        scene.report(next.await).await;
        println!("taken over {how} after {:.1} s", began.elapsed().as_secs_f64());
        // Who leads does the work.
        let api: Api<Database> = Api::namespaced(scene.client.clone(), APPS);
        let change =
            json!({"spec": {"parameters": {"work_mem": if grace.is_none() { "8MB" } else { "16MB" }}}});
        let (params, change) = (PatchParams::default(), Patch::Merge(change));
        api.patch("orders", &params, &change).await.unwrap();
        assert_eq!(scene.answer("select i from t").await, "42");
    }
}

async fn an_upgrade_and_the_way_back(scene: &Scene) {
    let before = scene.life().await;
    let (replicas, arguments) = scene.running(OPERATOR, OPERATOR_NAME).await;
    assert_eq!(replicas, 2, "one works, one stands by");
    assert!(has(&arguments, "--log-format=json"));

    let judged = [&OPERATOR_VALUES[..], &ADMISSION].concat();
    scene.report(scene.helm.upgrade(OPERATOR, &judged).await).await;
    is_judged(scene).await;
    // Once more, over what the operator has written into the webhooks by now.
    let changed = [&judged[..], &["replicas=1", "logFormat=text"]].concat();
    scene.report(scene.helm.upgrade(OPERATOR, &changed).await).await;
    is_judged(scene).await;
    let text = [&BROKER_VALUES[..], &["logFormat=text"]].concat();
    scene.report(scene.helm.upgrade(BROKER, &text).await).await;
    let (replicas, arguments) = scene.running(OPERATOR, OPERATOR_NAME).await;
    assert_eq!(replicas, 1);
    assert!(has(&arguments, "--log-format=text"), "{arguments:?}");
    let (_, arguments) = scene.running(BROKER, BROKER_NAME).await;
    assert!(has(&arguments, "--log-format=text"), "{arguments:?}");
    assert_eq!(scene.answer("select i from t").await, "42");
    assert_eq!(scene.life().await, before, "an upgrade leaves the database alone");

    scene.report(scene.helm.rollback(OPERATOR, 1).await).await;
    scene.report(scene.helm.rollback(BROKER, 1).await).await;
    let (replicas, arguments) = scene.running(OPERATOR, OPERATOR_NAME).await;
    assert_eq!(replicas, 2);
    assert!(has(&arguments, "--log-format=json"), "{arguments:?}");
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(scene.client.clone());
    assert!(webhooks.get_opt(OPERATOR_NAME).await.unwrap().is_none());
    assert_eq!(scene.answer("select i from t").await, "42");
    assert_eq!(scene.life().await, before, "so does the way back");
}

/// A database of a team that is not there is refused before it is created.
async fn is_judged(scene: &Scene) {
    let mut nobodys = database(APPS, "nobodys").unwrap();
    "nobody".clone_into(&mut nobodys.spec.owner.name);
    let api: Api<Database> = Api::namespaced(scene.client.clone(), APPS);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let said = until("the team to be asked about", Duration::from_mins(1), async || {
        Ok(match api.create(&dry, &nobodys).await {
            Err(kube::Error::Api(status)) if status.message.contains("spec.owner") => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        })
    });
    scene.report(said.await).await;
}

async fn removal_and_return(scene: &Scene) {
    let (before, database, broker) = (scene.life().await, scene.ready().await, scene.broker().await);
    scene.report(scene.helm.uninstall(BROKER).await).await;
    scene.report(scene.helm.uninstall(OPERATOR).await).await;
    let roles: Api<ClusterRole> = Api::all(scene.client.clone());
    for role in [OPERATOR_NAME, BROKER_NAME, "kidp-team-owner", "kidp-cost-reader"] {
        assert!(roles.get_opt(role).await.unwrap().is_none(), "{role} is left");
    }
    assert_eq!(
        definitions(&scene.client).await,
        kinds().count(),
        "definitions stay"
    );
    let left = scene.ready().await;
    assert_eq!(left.metadata.uid, database.metadata.uid);
    assert_eq!(left.metadata.deletion_timestamp, None);
    assert_eq!(scene.answer("select i from t").await, "42");
    assert_eq!(scene.life().await, before, "the database runs without both");

    scene.install().await;
    let registered = scene.broker().await;
    assert_eq!(
        registered.metadata.uid, broker.metadata.uid,
        "instances are known by it"
    );
    assert_eq!(scene.answer("select i from t").await, "42");
    assert_eq!(scene.life().await, before);
    let api: Api<Database> = Api::namespaced(scene.client.clone(), APPS);
    api.delete("orders", &DeleteParams::default()).await.unwrap();
    let clean = wait_clean::<Database>(&scene.client, APPS, "orders");
    scene.report(clean.await).await;

    scene.report(scene.helm.uninstall(BROKER).await).await;
    scene.report(scene.helm.uninstall(OPERATOR).await).await;
    for namespace in [APPS, BROKER.namespace, OPERATOR.namespace] {
        delete_namespace(&scene.client, namespace).await.unwrap();
    }
    remove_definitions(&scene.client).await;
}

#[tokio::test]
async fn what_is_no_value_is_refused() {
    let helm = Helm::from_env().unwrap();
    for (chart, value, said) in [
        ("kidp-operator", "replica=2", "replica"),
        (
            "kidp-operator",
            "leaderElection.enabled=false",
            "/leaderElection/enabled",
        ),
        ("kidp-broker", "authorization.clients[0].name=x", "method"),
        ("kidp-broker", "brokerName=Not OK", "/brokerName"),
    ] {
        let folder = pods::workspace().join("deploy/charts").join(chart);
        let refused = helm
            .run(&["template", "x", &folder.to_string_lossy(), "--set", value])
            .await;
        let Err(Error::Document { reason, .. }) = refused else {
            panic!("{chart} takes {value}");
        };
        assert!(reason.contains(said), "{reason}");
    }
}

/// Resources that the roles of a rendered chart name.
async fn granted(helm: &Helm, values: &str) -> BTreeSet<String> {
    let folder = pods::workspace().join("deploy/charts/kidp-operator");
    let folder = folder.to_string_lossy();
    let rendered = helm
        .run(&[
            "template",
            "x",
            &*folder,
            "--set",
            "crds.install=false",
            "--set",
            values,
        ])
        .await
        .unwrap();
    let mut resources = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(&rendered) {
        let object = DynamicObject::deserialize(document).unwrap();
        // Roles for people are not the operator's own.
        if object.name_any().starts_with("x-") {
            let rules = object.data["rules"].as_array().cloned().unwrap_or_default();
            let named = rules
                .iter()
                .filter_map(|rule| rule["resources"].as_array().cloned());
            resources.extend(
                named
                    .flatten()
                    .filter_map(|name| name.as_str().map(str::to_owned)),
            );
        }
    }
    resources
}

#[tokio::test]
async fn rights_follow_the_values() {
    let helm = Helm::from_env().unwrap();
    let all = granted(&helm, "admission.enabled=true").await;
    let without = granted(
        &helm,
        "teamNamespaces.enabled=false,priceBook=,brokerSecrets=null",
    )
    .await;
    let of_features = [
        "namespaces",
        "rolebindings",
        "clusterroles",
        "usagerecords",
        "tokenreviews",
        "secrets",
        "validatingwebhookconfigurations",
    ];
    for resource in of_features {
        assert!(all.contains(resource), "{resource} is for a feature");
        assert!(
            !without.contains(resource),
            "{resource} is for a feature that is off"
        );
    }
    assert!(without.contains("databases") && without.contains("leases"));
}

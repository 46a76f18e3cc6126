//! Five causes on real pods: the SDK's own manifests, each with something in its way, below a record as a broker writes it. No
//! operator and no broker run; what they would have said is played.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kidp_broker::record;
use kidp_core::crd::{Broker, Database, ServiceInstance, ServiceInstanceSpec};
use kidp_core::deployment::DeploymentId;
use kidp_core::revision::Revision;
use kidp_e2e::cli::{kidp, wait_cause};
use kidp_e2e::cluster::{
    FIELD_MANAGER, apply, connect, create_namespace, delete_namespace, install_crds, purge,
};
use kidp_e2e::fixtures::{create, create_broker, create_team, database};
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{ClusterFeatures, Provisioner};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-causes";
const FULL: &str = "kidp-e2e-quota";
const BROKER: &str = "kidp-e2e-played";

/// Plays operator and broker for a database with `changes` in its spec, and makes what the broker would, but for what
/// `spoil` does to the StatefulSet.
async fn make(client: &Client, namespace: &str, name: &str, changes: &Value, spoil: impl Fn(&mut Value)) {
    let mut wanted = serde_json::to_value(database(namespace, name).unwrap()).unwrap();
    for (field, value) in changes.as_object().into_iter().flatten() {
        wanted["spec"][field] = value.clone();
    }
    let wanted: Database = serde_json::from_value(wanted).unwrap();
    let wanted = create(client, &wanted).await.unwrap();
    let uid = wanted.metadata.uid.clone().unwrap();
    let id = DeploymentId::derive(BROKER, namespace, "Database", name, &uid);
    let spec = ServiceInstanceSpec {
        deployment_id: id.clone(),
        resource_type: kidp_core::instance::ResourceType::Database,
        resource_name: name.to_owned(),
        resource_uid: uid,
        resource_generation: 1,
        team: "payments".to_owned(),
        owner: Some(wanted.spec.owner.clone()),
        callback_url: None,
        requested_by: None,
        render_revision: Revision::FIRST,
        adopted: None,
        instance: wanted.spec.instance(),
    };
    let records: Api<ServiceInstance> = Api::namespaced(client.clone(), namespace);
    let mut new = record::new(namespace, spec);
    // Nobody is here to take it off.
    new.metadata.finalizers = None;
    let record = records.create(&PostParams::default(), &new).await.unwrap();
    play(client, namespace, name, &id).await;
    apply(client, &objects(&record, spoil)).await.unwrap();
}

/// What the operator would say of a database that its broker works on.
async fn play(client: &Client, namespace: &str, name: &str, id: &DeploymentId) {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Provisioning", "message": "the broker is at work on it",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = json!({"status": {"phase": "Provisioning", "observedGeneration": 1, "deploymentId": id,
        "brokerRef": {"name": BROKER, "namespace": NAMESPACE},
        "conditions": [condition("Ready", "False"), condition("Reconciling", "True")]}});
    let databases: Api<Database> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::default();
    databases
        .patch_status(name, &params, &Patch::Merge(status))
        .await
        .unwrap();
}

/// What the broker would make of its record.
fn objects(record: &ServiceInstance, spoil: impl Fn(&mut Value)) -> Vec<DynamicObject> {
    let instance = record::instance_of(record, ClusterFeatures::default());
    let engine = Postgresql::default();
    let credentials = engine.credentials(&instance, "notasecret".to_owned());
    let made = engine.build(&instance, &credentials).unwrap();
    let all = made.objects().iter().map(|object| {
        let mut json = object.json().clone();
        if object.kind() == "StatefulSet" {
            // Five of the size that a server has do not fit on the node of a test.
            let resources = &mut json["spec"]["template"]["spec"]["containers"][0]["resources"];
            resources["requests"] = json!({"cpu": "20m", "memory": "64Mi"});
            spoil(&mut json);
        }
        serde_json::from_value(json).unwrap()
    });
    all.collect()
}

async fn prepare(client: &Client) {
    install_crds(client).await.unwrap();
    for namespace in [NAMESPACE, FULL] {
        purge(client, namespace).await.unwrap();
        create_namespace(client, namespace).await.unwrap();
    }
    create_team(client, NAMESPACE).await.unwrap();
    // The devcluster makes requests smaller elsewhere, and then everything fits.
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let label = json!({"metadata": {"labels": {"kidp.dev/keep-requests": "true"}}});
    namespaces
        .patch(NAMESPACE, &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), FULL);
    let params = PatchParams::apply(FIELD_MANAGER);
    quotas.patch("none", &params, &Patch::Apply(quota)).await.unwrap();
    // A broker that nobody asks; it stays as it is played.
    create_broker(client, NAMESPACE, BROKER, "http://127.0.0.1:9")
        .await
        .unwrap();
    let brokers: Api<Broker> = Api::namespaced(client.clone(), NAMESPACE);
    let ready = Patch::Merge(json!({"status": {"phase": "Ready"}}));
    brokers
        .patch_status(BROKER, &PatchParams::default(), &ready)
        .await
        .unwrap();
}

fn probe(set: &mut Value) {
    let container = &mut set["spec"]["template"]["spec"]["containers"][0];
    container["readinessProbe"] =
        json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1});
    for other in ["startupProbe", "livenessProbe"] {
        container[other] = Value::Null;
    }
}

fn room(set: &mut Value) {
    let resources = &mut set["spec"]["template"]["spec"]["containers"][0]["resources"];
    let much = json!({"cpu": "500", "memory": "64Mi"});
    *resources = json!({"requests": much, "limits": much});
}

/// A database at a broker in another cluster: what was called back is all that can be seen, and that is said.
async fn elsewhere(client: &Client) {
    create(client, &database(NAMESPACE, "elsewhere").unwrap())
        .await
        .unwrap();
    let say = "broker `far` gave up: elsewhere-postgresql-0: ImagePullBackOff: Back-off pulling image \"postgres:15.99\"";
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "ProvisioningFailed", "message": say,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let status = json!({"status": {"phase": "Failed", "observedGeneration": 1, "brokerRef": {"name": BROKER},
        "deploymentId": format!("deploy-{}", "0".repeat(32)),
        "conditions": [condition("Ready", "False"), condition("Stalled", "True")]}});
    let databases: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
    let params = PatchParams::default();
    databases
        .patch_status("elsewhere", &params, &Patch::Merge(status))
        .await
        .unwrap();
    let report = wait_cause(NAMESPACE, "db/elsewhere", "BadImage").await.unwrap();
    assert!(
        report["notSeen"][0]
            .as_str()
            .unwrap()
            .contains("--target-context"),
        "{report}"
    );
    assert_eq!(
        report["chain"]["children"].as_array().unwrap().len(),
        1,
        "the broker: {report}"
    );
    let waited = kidp(NAMESPACE, &["wait", "db/elsewhere", "--timeout", "1m"])
        .await
        .unwrap();
    assert_eq!(waited.code, 1, "it does not become ready by waiting: {waited:?}");
}

#[tokio::test]
async fn each_cause_is_found_on_real_pods() {
    let client = connect().await.unwrap();
    prepare(&client).await;
    let nothing = |_: &mut Value| ();
    let plain = json!({});
    make(&client, NAMESPACE, "image", &json!({"version": "15.99"}), nothing).await;
    make(&client, NAMESPACE, "room", &plain, room).await;
    make(&client, NAMESPACE, "probe", &plain, probe).await;
    let class = json!({"storage": {"size": "1Gi", "class": "kidp-e2e-missing"}});
    make(&client, NAMESPACE, "volume", &class, nothing).await;
    make(&client, FULL, "quota", &plain, nothing).await;

    let expected: BTreeMap<_, _> = [
        (
            "image",
            (NAMESPACE, "BadImage", "Pod/image-postgresql-0", "postgres:15.99"),
        ),
        (
            "room",
            (NAMESPACE, "Unschedulable", "Pod/room-postgresql-0", "spec.size"),
        ),
        ("probe", (NAMESPACE, "Unready", "Pod/probe-postgresql-0", "log")),
        (
            "volume",
            (
                NAMESPACE,
                "VolumePending",
                "PersistentVolumeClaim/data-volume-postgresql-0",
                "kidp-e2e-missing",
            ),
        ),
        (
            "quota",
            (
                FULL,
                "NamespaceQuota",
                "StatefulSet/quota-postgresql",
                "ResourceQuota",
            ),
        ),
    ]
    .into();
    for (name, (namespace, reason, object, advice)) in expected {
        let report = wait_cause(namespace, &format!("db/{name}"), reason)
            .await
            .unwrap();
        let cause = &report["cause"];
        assert_eq!(cause["object"], object, "{report}");
        assert!(cause["action"].as_str().unwrap().contains(advice), "{report}");
        assert_eq!(cause["failing"], true, "{report}");
        assert_eq!(report["notSeen"], json!([]), "{report}");
    }
    let tree = kidp(NAMESPACE, &["status", "db/image"]).await.unwrap();
    for shown in [
        "Broker/kidp-e2e-played  Ready",
        "ServiceInstance/deploy-",
        "Secret/image-postgresql-connection  there",
        "cause: BadImage",
    ] {
        assert!(tree.out.contains(shown), "{shown} in {tree:?}");
    }
    assert!(!tree.out.contains("notasecret"));
    elsewhere(&client).await;
    delete_namespace(&client, FULL).await.unwrap();
    delete_namespace(&client, NAMESPACE).await.unwrap();
}

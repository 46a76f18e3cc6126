//! Drift on the real cluster, as a table: what is changed by hand, on each engine and under each policy, how soon it is
//! found, whether its author is told, what is done about it, and whether a pod restarts.
//!
//! A mutation is a line of [`mutations`]. Every engine goes through all of them under the default, `remediate`, and
//! PostgreSQL under `alert` as well; the others through one of them, after their policy was changed. What others add is
//! told and stays.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mutations;
mod subject;

use k8s_openapi::api::core::v1::ConfigMap;
use kidp_core::crd::{Cache, Database, MessageQueue, Phase, ServiceResource};
use kidp_core::names::base_name;
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{begin, offer_every_engine, wait_for, wait_gone, wait_ready};
use kidp_e2e::host::Platform;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use mutations::Objects;
use subject::{AUTHOR, Bench};

const NAMESPACE: &str = "kidp-e2e-drift";
/// Takes an instance through the table, and gives its lines.
async fn lines<K: ServiceResource>(bench: &Bench, engine: &str, version: &str, policy: &str) -> Vec<String> {
    let subject = bench.make::<K>(engine, version, policy).await;
    let objects = Objects::read(&bench.client, &bench.namespace, &subject.base).await;
    let mut lines = Vec::new();
    for mutation in objects.mutations() {
        let line = subject.suffer(&mutation, policy).await;
        println!("{engine:<12} {line}");
        lines.push(format!("{engine:<12} {line}"));
    }
    if policy == "alert" {
        shown_on_the_resource(bench).await;
        let line = subject.suffer_addition().await;
        println!("{engine:<12} {line}");
        lines.push(format!("{engine:<12} {line}"));
    } else if engine != "postgresql" {
        // PostgreSQL has an instance of its own under it.
        let policy = subject.change_policy::<K>("alert").await;
        let line = subject.suffer(&objects.setting(), policy).await;
        println!("{engine:<12} {line}");
        lines.push(format!("{engine:<12} {line}"));
    }
    let api: Api<K> = Api::namespaced(bench.client.clone(), &bench.namespace);
    api.delete(&subject.name, &DeleteParams::default()).await.unwrap();
    bench.must(wait_gone::<K>(&bench.client, &bench.namespace, &subject.name).await);
    lines
}

#[tokio::test]
async fn what_is_changed_by_hand_is_found_told_and_treated_by_its_policy() {
    let client = begin(NAMESPACE).await.unwrap();
    let broker = format!("{NAMESPACE}-broker");
    let platform = Platform::start(&client, &broker, NAMESPACE).await.unwrap();
    offer_every_engine(&client, &broker, &broker).await.unwrap();
    let owned = Bench {
        client: client.clone(),
        namespace: NAMESPACE.to_owned(),
        platform,
    };
    let bench = &owned;
    let tables: [std::pin::Pin<Box<dyn Future<Output = Vec<String>>>>; 6] = [
        Box::pin(lines::<Database>(bench, "mysql", "9", "remediate")),
        Box::pin(lines::<MessageQueue>(bench, "rabbitmq", "4", "remediate")),
        Box::pin(lines::<Database>(bench, "postgresql", "15", "alert")),
        Box::pin(lines::<Database>(bench, "mongodb", "7", "remediate")),
        Box::pin(lines::<Database>(bench, "postgresql", "15", "remediate")),
        Box::pin(lines::<Cache>(bench, "redis", "7", "remediate")),
    ];
    let tables = futures::future::join_all(tables).await;
    println!(
        "\n{:<12} {:<28} {:<10} {:>8}  {:<9} {:<13} restarted",
        "engine", "mutation", "policy", "found", "done", "author"
    );
    for line in tables.concat() {
        println!("{line}");
    }
    owned.platform.stop().await.unwrap();
    delete_namespace(&client, NAMESPACE).await.unwrap();
}

/// What is left is a phase of the resource itself, with what differs, and ends when it does.
async fn shown_on_the_resource(bench: &Bench) {
    let name = "alert-postgresql";
    let config: Api<ConfigMap> = Api::namespaced(bench.client.clone(), &bench.namespace);
    let base = base_name(name, "postgresql");
    let all = config
        .list(&ListParams::default().labels(&format!("app.kubernetes.io/instance={base}")))
        .await
        .unwrap();
    let (map, key) = (
        all.items[0].name_any(),
        all.items[0].data.clone().unwrap().into_iter().next().unwrap(),
    );
    let params = PatchParams {
        field_manager: Some(AUTHOR.to_owned()),
        ..PatchParams::default()
    };
    config
        .patch(
            &map,
            &params,
            &Patch::Merge(json!({"data": {&key.0: "# edited"}})),
        )
        .await
        .unwrap();
    let drifted = |d: &Database| {
        d.status.as_ref().is_some_and(|s| {
            s.phase == Phase::DriftDetected && s.conditions.iter().any(|c| c.message.contains(AUTHOR))
        })
    };
    bench.must(
        wait_for(
            &bench.client,
            &bench.namespace,
            name,
            "to say that it drifted",
            drifted,
        )
        .await,
    );
    config
        .patch(&map, &params, &Patch::Merge(json!({"data": {key.0: key.1}})))
        .await
        .unwrap();
    bench.must(wait_ready::<Database>(&bench.client, &bench.namespace, name).await);
}

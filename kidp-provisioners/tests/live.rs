//! What the conformance kit says on the cluster of `KUBECONFIG`.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test live
//! ```
//! Each test has a namespace of its own that enforces the `restricted` profile, and removes it at its end.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "conformance/broken.rs"]
#[allow(dead_code)] // One fault of many.
mod broken;

use std::collections::BTreeMap;
use std::time::Duration;

use broken::{Broken, Fault, container, of, pod, set};
use k8s_openapi::api::core::v1::Namespace;
use kidp_provisioners::conformance::{Check, Report, Samples, live};
use kidp_provisioners::{Instance, Provisioner, Registry};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a test in a namespace of its own.
async fn in_namespace<F: Future<Output = ()>>(test: &str, run: impl FnOnce(Client, String) -> F) {
    let client = Client::try_default().await.unwrap();
    let name = format!("kidp-{test}-{}", std::process::id());
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([label(
                "pod-security.kubernetes.io/enforce",
                "restricted",
            )])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    run(client, name.clone()).await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
}

/// An owner that exists: one that does not would be the end of what it owns.
async fn owned(client: &Client, instance: &Instance) -> Instance {
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), &instance.namespace);
    let mut owner = None;
    while owner.is_none() {
        // Every namespace gets one, in a moment.
        owner = accounts.get_opt("default").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let owner = owner.unwrap();
    let mut instance = instance.clone();
    let reference = instance.owner_reference.as_mut().unwrap();
    "v1".clone_into(&mut reference.api_version);
    "ServiceAccount".clone_into(&mut reference.kind);
    reference.name = owner.name_any();
    reference.uid = owner.uid().unwrap();
    instance
}

async fn first(client: &Client, provisioner: &dyn Provisioner, namespace: &str) -> Instance {
    let samples = Samples::standard(provisioner).in_namespace(namespace);
    owned(client, &samples.instances()[0]).await
}

#[tokio::test]
async fn an_api_server_accepts_every_object_of_every_engine() {
    in_namespace("accepted", |client, namespace| async move {
        for provisioner in Registry::standard().iter() {
            let provisioner = provisioner.as_ref();
            let samples = Samples::standard(provisioner).in_namespace(&namespace);
            let mut report = Report::new(provisioner, samples.instances().len());
            let findings = live::acceptance(&client, provisioner, &samples).await;
            report.add(Check::Acceptance, findings);
            println!("{report}");
            assert!(report.is_conformant(), "{report}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_life_is_conformant() {
    in_namespace("conformant", |client, namespace| async move {
        let registry = Registry::standard();
        let postgresql = registry.iter().next().unwrap().as_ref();
        let instance = first(&client, postgresql, &namespace).await;
        let report = live::check(&client, postgresql, &instance, PATIENCE).await;
        println!("{report}");
        assert!(report.is_conformant(), "{report}");
    })
    .await;
}

#[tokio::test]
async fn what_only_a_cluster_sees_is_found_and_removed() {
    in_namespace("broken", |client, namespace| async move {
        let faults: [(Check, &str, Fault); 4] = [
            (
                Check::Acceptance,
                "violates PodSecurity",
                Fault::Objects(|o, _, _| pod(o)["hostNetwork"] = json!(true)),
            ),
            (
                Check::Acceptance,
                "Invalid value",
                Fault::Objects(|o, _, _| of(o, "Service")["spec"]["ports"][0]["port"] = json!(0)),
            ),
            (
                Check::SteadyState,
                "is written again",
                // An API server drops what it keeps under another name.
                Fault::Objects(|o, _, _| of(o, "Secret")["stringData"] = json!({"note": "x"})),
            ),
            (
                Check::Usability,
                "is not ready within",
                Fault::Objects(|o, _, _| {
                    container(o)["command"] = json!(["sh", "-c", "exit 1"]);
                    set(o)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(1);
                }),
            ),
        ];
        for (check, words, fault) in faults {
            let broken = Broken::new(fault);
            let instance = first(&client, &broken, &namespace).await;
            let report = live::check(&client, &broken, &instance, Duration::from_secs(30)).await;
            assert!(
                report.of(check).any(|f| f.message.contains(words)),
                "{words}: {report}"
            );
            assert_eq!(report.of(Check::Removal).count(), 0, "{report}");
        }
    })
    .await;
}

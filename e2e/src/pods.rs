//! Operator and broker as containers, from the manifests that are shipped, under their own service accounts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kidp_core::crd::{Broker, BrokerPhase};
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::{Api, Client, ResourceExt};

use crate::Result;
use crate::cluster::{apply, delete, delete_namespace, read_manifests};
use crate::error::Doing;
use crate::fixtures::create_guarded_broker;
use crate::wait::{Seen, until};

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "kidp-system";
/// Namespace of the local broker.
pub const BROKER_NAMESPACE: &str = "kidp-broker-local";
/// Name of the broker, in its own flags and in the management cluster.
pub const BROKER_NAME: &str = "local";
/// Where the operator reaches it.
pub const BROKER_URL: &str = "http://kidp-broker.kidp-broker-local.svc:8082";

/// The root of the workspace, where `deploy/` is.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn manifests() -> Result<Vec<DynamicObject>> {
    let folder = workspace().join("deploy/manifests");
    let mut objects = read_manifests(&folder.join("operator"))?;
    objects.extend(read_manifests(&folder.join("broker"))?);
    Ok(objects)
}

/// Installs both and waits until the operator knows the broker. The images must be on the node.
pub async fn install(client: &Client) -> Result<()> {
    apply(client, &manifests()?).await?;
    for (namespace, name) in [
        (BROKER_NAMESPACE, "kidp-broker"),
        (OPERATOR_NAMESPACE, "kidp-operator"),
    ] {
        wait_available(client, namespace, name).await?;
    }
    let brokers: Api<Broker> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    if brokers
        .get_opt(BROKER_NAME)
        .await
        .doing("reading the broker")?
        .is_none()
    {
        // The manifests give the operator a token for the broker, and let nobody else in.
        create_guarded_broker(client, OPERATOR_NAMESPACE, BROKER_NAME, BROKER_URL, "jwt").await?;
    }
    until("the broker to be Ready", Duration::from_mins(1), async || {
        let broker = brokers.get(BROKER_NAME).await.doing("reading the broker")?;
        let status = serde_json::to_string(&broker.status).unwrap_or_default();
        let ready = broker.status.is_some_and(|s| s.phase == BrokerPhase::Ready);
        Ok(if ready {
            Seen::Done(())
        } else {
            Seen::NotYet(status)
        })
    })
    .await
}

async fn wait_available(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    until(
        &format!("{namespace}/{name} to be available"),
        Duration::from_mins(2),
        async || {
            let live = api.get(name).await.doing("reading a deployment")?;
            let status = live.status.unwrap_or_default();
            let current = status.observed_generation == live.metadata.generation;
            let ready = current
                && status.updated_replicas.unwrap_or(0) > 0
                && status.unavailable_replicas.unwrap_or(0) == 0;
            if ready {
                Ok(Seen::Done(()))
            } else {
                Ok(Seen::NotYet(pod_report(client, namespace).await))
            }
        },
    )
    .await
}

/// Phase and messages of a namespace's pods, for reports of failures.
pub async fn pod_report(client: &Client, namespace: &str) -> String {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api
        .list(&ListParams::default())
        .await
        .map(|l| l.items)
        .unwrap_or_default();
    let line = |pod: &Pod| {
        format!(
            "{}: {}",
            pod.name_any(),
            serde_json::to_string(&pod.status).unwrap_or_default()
        )
    };
    pods.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Output of every pod of operator and broker.
pub async fn logs(client: &Client) -> Result<String> {
    logs_of(client, &[OPERATOR_NAMESPACE, BROKER_NAMESPACE]).await
}

/// Output of every pod of these namespaces.
pub async fn logs_of(client: &Client, namespaces: &[&str]) -> Result<String> {
    let mut text = String::new();
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        for pod in api.list(&ListParams::default()).await.doing("listing pods")? {
            text += &api
                .logs(&pod.name_any(), &LogParams::default())
                .await
                .doing("reading a log")?;
        }
    }
    Ok(text)
}

/// Removes what [`install`] made.
pub async fn uninstall(client: &Client) -> Result<()> {
    delete(client, &manifests()?).await?;
    for namespace in [OPERATOR_NAMESPACE, BROKER_NAMESPACE] {
        delete_namespace(client, namespace).await?;
    }
    Ok(())
}

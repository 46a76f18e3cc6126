//! Looking for a secret value everywhere it must not be.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret, Service};
use k8s_openapi::api::{apps::v1::StatefulSet, events::v1::Event as NewEvent};
use kidp_core::crd::{Broker, Cache, Database, MessageQueue, ServiceInstance};
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt};

use crate::Result;
use crate::error::Doing;

/// The password in a connection Secret.
pub async fn password(client: &Client, namespace: &str, secret: &str) -> Result<String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get(secret).await.doing("reading the connection Secret")?;
    let data = secret.data.unwrap_or_default();
    Ok(data
        .get("password")
        .map(|b| String::from_utf8_lossy(&b.0).into_owned())
        .unwrap_or_default())
}

/// Where `needle` occurs: in any object of the namespaces but Secrets, in the logs of their pods, in the given
/// files, or in a command line of this machine.
pub async fn find(
    client: &Client,
    namespaces: &[&str],
    files: &[PathBuf],
    needle: &str,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for namespace in namespaces {
        macro_rules! search {
            ($($kind:ty),*) => {$(
                let api: Api<$kind> = Api::namespaced(client.clone(), namespace);
                for object in api.list(&ListParams::default()).await.doing("listing objects")? {
                    let text = serde_json::to_string(&object).unwrap_or_default();
                    if text.contains(needle) {
                        found.push(format!("{} {namespace}/{}", std::any::type_name::<$kind>(), object.name_any()));
                    }
                }
            )*};
        }
        search!(
            Pod,
            StatefulSet,
            Service,
            ConfigMap,
            Event,
            NewEvent,
            Database,
            Cache,
            MessageQueue,
            ServiceInstance,
            Broker
        );
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        for pod in pods.list(&ListParams::default()).await.doing("listing pods")? {
            let log = pods
                .logs(&pod.name_any(), &LogParams::default())
                .await
                .doing("reading a pod's log")?;
            if log.contains(needle) {
                found.push(format!("log of pod {namespace}/{}", pod.name_any()));
            }
        }
    }
    let contains = |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains(needle));
    found.extend(
        files
            .iter()
            .filter(|path| contains(path))
            .map(|path| path.display().to_string()),
    );
    found.extend(of_processes(needle, &["cmdline"])?);
    // A probe hands the password to the engine's client in that one process's environment, for the moment it runs;
    // what is still there later is a process that keeps it.
    let first = of_processes(needle, &["environ"])?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    found.extend(
        of_processes(needle, &["environ"])?
            .into_iter()
            .filter(|path| first.contains(path)),
    );
    Ok(found)
}

/// Files of this machine's processes that hold `needle`.
fn of_processes(needle: &str, names: &[&str]) -> Result<Vec<String>> {
    let processes = std::fs::read_dir("/proc").doing("reading the process list")?;
    let folders = processes.filter_map(|entry| entry.ok().map(|e| e.path()));
    let files = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let holds = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(needle))
    };
    Ok(files
        .filter(holds)
        .map(|path| path.display().to_string())
        .collect())
}

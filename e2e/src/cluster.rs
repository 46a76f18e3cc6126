//! The cluster under test: connecting, CRDs, namespaces, manifests.

use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kidp_core::crd::{Cache, Database, MessageQueue, ServiceBinding, ServiceInstance, Team};
use kube::api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams};
use kube::core::{GroupVersionKind, NamespaceResourceScope};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

/// Field manager of what the harness itself writes.
pub const FIELD_MANAGER: &str = "kidp-e2e";

/// Requests at once, where there may be thousands of objects.
const AT_ONCE: usize = 32;

/// Label of the namespaces that the harness made.
const OURS: &str = "platform.company.com/e2e";

/// Connects to the cluster of `KUBECONFIG`.
pub async fn connect() -> Result<Client> {
    let config = Config::infer()
        .await
        .map_err(|error| Error::NoCluster(error.to_string()))?;
    let client = Client::try_from(config).map_err(|error| Error::NoCluster(error.to_string()))?;
    client
        .apiserver_version()
        .await
        .map_err(|error| Error::NoCluster(error.to_string()))?;
    Ok(client)
}

/// Installs every CRD and waits until the API server serves them.
pub async fn install_crds(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crds = kidp_core::crd::operator_crds()
        .into_iter()
        .chain(kidp_core::crd::broker_crds());
    for crd in crds {
        let name = crd.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&crd))
            .await
            .doing(format!("installing CRD {name}"))?;
        until(&format!("CRD {name}"), Duration::from_secs(30), async || {
            let live = api.get(&name).await.doing("reading a CRD")?;
            let conditions = live.status.and_then(|s| s.conditions).unwrap_or_default();
            let established = conditions
                .iter()
                .any(|c| c.type_ == "Established" && c.status == "True");
            Ok(if established {
                Seen::Done(())
            } else {
                Seen::NotYet("not established".into())
            })
        })
        .await?;
    }
    Ok(())
}

/// Makes a namespace under Pod Security `restricted`, so that every pod of a test proves that it complies.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let labels = [
        ("pod-security.kubernetes.io/enforce", "restricted"),
        (OURS, "true"),
    ];
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..Default::default()
        },
        ..Default::default()
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &params, &Patch::Apply(&namespace))
        .await
        .doing(format!("namespace {name}"))?;
    Ok(())
}

async fn delete_namespace_soon(client: &Client, name: &str) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    match api.delete(name, &DeleteParams::default()).await {
        // Gone, or on its way.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map(|_| ()).doing(format!("deleting namespace {name}")),
    }
}

/// Removes a namespace and waits until it is gone.
pub async fn delete_namespace(client: &Client, name: &str) -> Result<()> {
    delete_namespace_soon(client, name).await?;
    namespace_gone(client, name, Duration::from_mins(2)).await
}

/// Waits until a namespace that was deleted is gone.
pub async fn namespace_gone(client: &Client, name: &str, limit: Duration) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    until(&format!("namespace {name} to be gone"), limit, async || {
        Ok(match api.get_opt(name).await.doing("reading a namespace")? {
            None => Seen::Done(()),
            Some(ns) => Seen::NotYet(format!("{:?}", ns.status)),
        })
    })
    .await
}

/// Removes what an earlier test that failed left: namespaces of the harness whose names start with `prefix`.
pub async fn purge(client: &Client, prefix: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let ours = namespaces
        .list(&ListParams::default().labels(OURS))
        .await
        .doing("listing namespaces")?;
    let names: Vec<_> = ours
        .iter()
        .map(ResourceExt::name_any)
        .filter(|name| name.starts_with(prefix))
        .collect();
    for namespace in &names {
        abandon(client, namespace).await?;
    }
    for namespace in &names {
        delete_namespace(client, namespace).await?;
    }
    Ok(())
}

/// Deletes a namespace, with the finalizers in it, since the processes that would have taken those off are gone.
pub async fn abandon(client: &Client, namespace: &str) -> Result<()> {
    delete_namespace_soon(client, namespace).await?;
    release::<Team>(client, namespace).await?;
    release::<Database>(client, namespace).await?;
    release::<Cache>(client, namespace).await?;
    release::<MessageQueue>(client, namespace).await?;
    release::<ServiceInstance>(client, namespace).await?;
    release::<ServiceBinding>(client, namespace).await
}

async fn release<K>(client: &Client, namespace: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
    let left = api.list_metadata(&ListParams::default()).await;
    let left = left.doing("listing what is left")?.items;
    let held = left.iter().filter(|object| !object.finalizers().is_empty());
    let (api, patch) = (&api, &patch);
    let one = async |name: String| {
        // One that goes in between is as good.
        let _ = api.patch_metadata(&name, &PatchParams::default(), patch).await;
    };
    let names = held.map(ResourceExt::name_any);
    stream::iter(names).for_each_concurrent(AT_ONCE, one).await;
    Ok(())
}

/// Every object of the YAML documents in `folder`, without the kustomization.
pub fn read_manifests(folder: &Path) -> Result<Vec<DynamicObject>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .doing(format!("reading {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter(|path| path.file_name().is_some_and(|n| n != "kustomization.yaml"))
        .collect();
    paths.sort();
    let mut objects = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).doing(format!("reading {}", path.display()))?;
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let object = DynamicObject::deserialize(document).map_err(|e| Error::Document {
                doing: path.display().to_string(),
                reason: e.to_string(),
            })?;
            objects.push(object);
        }
    }
    // Namespaces first, whatever file they are in.
    objects.sort_by_key(|o| o.types.as_ref().is_none_or(|t| t.kind != "Namespace"));
    Ok(objects)
}

async fn dynamic_api(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.clone().unwrap_or_default();
    let gvk = GroupVersionKind::try_from(&types).map_err(|e| Error::Document {
        doing: object.name_any(),
        reason: e.to_string(),
    })?;
    let (resource, _) = kube::discovery::pinned_kind(client, &gvk)
        .await
        .doing(format!("finding {}", gvk.kind))?;
    Ok(match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

/// Applies objects in order.
pub async fn apply(client: &Client, objects: &[DynamicObject]) -> Result<()> {
    for object in objects {
        let name = object.name_any();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        dynamic_api(client, object)
            .await?
            .patch(&name, &params, &Patch::Apply(object))
            .await
            .doing(format!("applying {name}"))?;
    }
    Ok(())
}

/// Deletes objects in the opposite order; one that is not there is fine.
pub async fn delete(client: &Client, objects: &[DynamicObject]) -> Result<()> {
    for object in objects.iter().rev() {
        let name = object.name_any();
        match dynamic_api(client, object)
            .await?
            .delete(&name, &DeleteParams::background())
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => {
                other.doing(format!("deleting {name}"))?;
            }
        }
    }
    Ok(())
}

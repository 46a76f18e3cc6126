//! Removal of an instance.
//!
//! # Flow
//! ```text
//! list by deployment id ─> StatefulSet ─> (pods gone?) ─> Services, ConfigMap, ... ─> data by policy
//! ```
//! Level-triggered: each call does what can be done now and says what is still there.
//!
//! # Guarantees
//! - What is removed is found by the label `deployment-id`, not by rendering: a spec that cannot be built, or was
//!   built by another version, is removed all the same.
//! - A delete names the UID and resourceVersion that were judged; another object of that name is not touched.
//! - Data goes last, when no pod can write to it any more, and never under `Retain`. A Secret shares the fate of
//!   the claim that it opens.
//!
//! # Caveats
//! `Snapshot` is refused by `validate`. Where it arrives all the same, the data is kept, as under `Retain`.

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kidp_core::instance::DeletionPolicy;
use kidp_core::labels;
use kube::Client;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Preconditions};
use serde_json::json;

use super::request::{Cluster, is_conflict, is_not_found};
use super::{ApplyError, REQUEST_TIMEOUT};
use crate::instance::Instance;
use crate::provisioner::Deprovisioned;
use crate::resources::meta::RETAINED;

/// How often a delete is repeated when the object changed in between; a StatefulSet's status often does.
const ATTEMPTS: usize = 4;

/// Grace period, in seconds, of a pod whose data is deleted with it. Not 0, which forgets a pod that may still run.
const QUICK_GRACE: u32 = 1;

/// An object that was found.
struct Item {
    resource: ApiResource,
    meta: ObjectMeta,
}

pub(crate) async fn deprovision(
    client: &Client,
    instance: &Instance,
    policy: DeletionPolicy,
) -> Result<Deprovisioned, ApplyError> {
    let cluster = Cluster::new(client, instance, REQUEST_TIMEOUT);
    let (workloads, pods, rest, claims, secrets) = tokio::try_join!(
        list(&cluster, instance, vec![ApiResource::erase::<StatefulSet>(&())]),
        list(&cluster, instance, vec![ApiResource::erase::<Pod>(&())]),
        list(&cluster, instance, supporting()),
        list(
            &cluster,
            instance,
            vec![ApiResource::erase::<PersistentVolumeClaim>(&())]
        ),
        list(&cluster, instance, vec![ApiResource::erase::<Secret>(&())]),
    )?;
    let keep = policy != DeletionPolicy::Delete && !claims.is_empty();
    if !workloads.is_empty() || !pods.is_empty() {
        delete_all(&cluster, instance, workloads.iter(), None).await?;
        // Pods are left to their StatefulSet's removal, but for those that have lost theirs, and for those whose
        // data goes as well: an engine in its first initialisation takes its whole grace period otherwise.
        let hurry = policy == DeletionPolicy::Delete;
        if hurry || workloads.is_empty() {
            delete_all(&cluster, instance, pods.iter(), hurry.then_some(QUICK_GRACE)).await?;
        }
        let data = [claims, secrets].into_iter().flatten().filter(|_| !keep);
        let waiting = [workloads, pods, rest].into_iter().flatten().chain(data);
        return Ok(Deprovisioned::InProgress(
            waiting.map(|item| item.key()).collect(),
        ));
    }
    let mut left = delete_all(&cluster, instance, rest.iter(), None).await?;
    let data = claims.iter().chain(&secrets);
    if keep {
        try_join_all(data.map(|item| retain(&cluster, item))).await?;
    } else {
        left.extend(delete_all(&cluster, instance, data, None).await?);
    }
    Ok(if left.is_empty() {
        Deprovisioned::Done
    } else {
        Deprovisioned::InProgress(left)
    })
}

/// Every kind that is looked for; an object of another is left behind.
pub(crate) fn removed_kinds() -> Vec<ApiResource> {
    let mut kinds = supporting();
    kinds.extend([
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<Secret>(&()),
    ]);
    kinds
}

/// Kinds that have no data and run nothing.
fn supporting() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

async fn list(
    cluster: &Cluster<'_>,
    instance: &Instance,
    resources: Vec<ApiResource>,
) -> Result<Vec<Item>, ApplyError> {
    let params = ListParams::default().labels(&format!(
        "{}={},{}={}",
        labels::DEPLOYMENT_ID,
        instance.deployment_id,
        labels::MANAGED_BY_KEY,
        labels::MANAGED_BY,
    ));
    let lists = try_join_all(resources.into_iter().map(|resource| {
        let params = &params;
        async move {
            let api = cluster.api(&resource);
            let found = cluster.request(&resource.kind, api.list_metadata(params)).await?;
            let item = |meta| Item {
                resource: resource.clone(),
                meta,
            };
            Ok::<_, ApplyError>(
                found
                    .items
                    .into_iter()
                    .map(|o| item(o.metadata))
                    .collect::<Vec<_>>(),
            )
        }
    }))
    .await?;
    Ok(lists.into_iter().flatten().collect())
}

/// Deletes at the same time; answers those that are still there, held by a finalizer.
async fn delete_all<'a>(
    cluster: &Cluster<'_>,
    instance: &Instance,
    items: impl Iterator<Item = &'a Item>,
    grace: Option<u32>,
) -> Result<Vec<String>, ApplyError> {
    let left = try_join_all(items.map(|item| async move {
        let gone = delete(cluster, instance, item, grace).await?;
        Ok::<_, ApplyError>((!gone).then(|| item.key()))
    }))
    .await?;
    Ok(left.into_iter().flatten().collect())
}

/// Deletes an object; answers whether it is gone.
async fn delete(
    cluster: &Cluster<'_>,
    instance: &Instance,
    item: &Item,
    grace: Option<u32>,
) -> Result<bool, ApplyError> {
    let api = cluster.api(&item.resource);
    let name = item.name();
    let mut meta = item.meta.clone();
    for _ in 0..ATTEMPTS {
        if meta.deletion_timestamp.is_some() && !can_hurry(&meta, grace) {
            return Ok(false);
        }
        let params = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::background()
        }
        .preconditions(Preconditions {
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        });
        match cluster.request(&item.key(), api.delete(name, &params)).await {
            Ok(answer) => {
                tracing::debug!(object = %item.key(), "deleted");
                // Some kinds answer with the object that was deleted; it is still there if something holds it.
                let held = |object: &DynamicObject| object.metadata.finalizers.is_some();
                return Ok(!answer.left().as_ref().is_some_and(held));
            }
            Err(ApplyError::Kube { source, .. }) if is_not_found(&source) => return Ok(true),
            Err(ApplyError::Kube { source, .. }) if is_conflict(&source) => {}
            Err(other) => return Err(other),
        }
        match cluster.request(&item.key(), api.get_metadata_opt(name)).await? {
            Some(now) if now.metadata.uid == meta.uid && is_of(&now.metadata, instance) => {
                meta = now.metadata;
            }
            // Another object took the name: ours is gone.
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// Whether an object on its way out is given longer than `grace`: the garbage collector is often first, and gives
/// a pod all the time that it asks for.
fn can_hurry(meta: &ObjectMeta, grace: Option<u32>) -> bool {
    let given = meta.deletion_grace_period_seconds.unwrap_or_default();
    grace.is_some_and(|grace| i64::from(grace) < given)
}

/// Marks what outlives the instance, so that the next one of its name can adopt it.
async fn retain(cluster: &Cluster<'_>, item: &Item) -> Result<(), ApplyError> {
    let marked = item
        .meta
        .labels
        .as_ref()
        .is_some_and(|l| l.get(RETAINED).is_some_and(|v| v == "true"));
    if marked {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": item.meta.uid, "labels": {RETAINED: "true"}}});
    match cluster.merge(&item.resource, item.name(), &patch).await {
        Err(ApplyError::Kube { source, .. }) if is_not_found(&source) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn is_of(meta: &ObjectMeta, instance: &Instance) -> bool {
    let id = meta
        .labels
        .as_ref()
        .and_then(|labels| labels.get(labels::DEPLOYMENT_ID));
    id.is_some_and(|id| id == instance.deployment_id.as_str())
}

impl Item {
    fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    fn key(&self) -> String {
        format!("{}/{}", self.resource.kind, self.name())
    }
}

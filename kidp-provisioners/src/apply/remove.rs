//! Removal of an instance.
//!
//! # Flow
//! ```text
//! list by deployment id ─> StatefulSet, Cluster ─> (pods gone?) ─> Services, ConfigMap, ... ─> data by policy
//! ```
//! Level-triggered: each call does what can be done now and says what is still there.
//!
//! # Guarantees
//! - What is removed is found by the label `deployment-id`, not by rendering: a spec that cannot be built, or was
//!   built by another version, is removed all the same.
//! - A delete names the UID and resourceVersion that were judged; another object of that name is not touched.
//! - What cert-manager made goes with its `Certificate`, under every policy.
//! - Data goes last, when no pod can write to it any more, and never under `Retain`. A Secret shares the fate of
//!   the claim that it opens.
//!
//! # A `Cluster` of CloudNativePG
//! owns its claims, and they would be collected with it. So claims that are kept are taken from it first. Without an
//! owner, and with the labels and annotations of CloudNativePG, they are what it restores a `Cluster` of the same name
//! from (<https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.29.1/internal/controller/cluster_restore.go>). What
//! else it made has the deployment id, but its own name under `managed-by`.
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
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Preconditions};
use kube::core::Selector;
use kube::{Client, Resource};
use serde_json::{Value, json};

use super::request::{Cluster, is_absent, is_conflict, is_not_found};
use super::{ApplyError, REQUEST_TIMEOUT};
use crate::instance::Instance;
use crate::provisioner::Deprovisioned;
use crate::resources::certificate::{CERTIFICATE_LABEL, Certificate, Issuer};
use crate::resources::cloudnative_pg;
use crate::resources::meta::{RETAINED, Scope};
use crate::resources::monitor::{self, PodMonitor, ServiceMonitor};

/// How often a delete is repeated when the object changed in between; a StatefulSet's status often does.
const ATTEMPTS: usize = 4;

/// Grace period, in seconds, of a pod whose data is deleted with it. Not 0, which forgets a pod that may still run.
const QUICK_GRACE: u32 = 1;

/// An object that was found.
#[derive(Clone)]
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
    let delegated = cloudnative_pg::is_possible(instance);
    let found = |kinds| list(&cluster, instance, kinds, delegated);
    let (sets, clusters, pods, rest, claims, secrets) = tokio::try_join!(
        found(vec![ApiResource::erase::<StatefulSet>(&())]),
        found(if delegated { vec![clusters()] } else { Vec::new() }),
        found(vec![ApiResource::erase::<Pod>(&())]),
        found(supporting(instance)),
        found(vec![ApiResource::erase::<PersistentVolumeClaim>(&())]),
        found(vec![ApiResource::erase::<Secret>(&())]),
    )?;
    let (members, is_foreign) = adopted_members(&cluster, instance).await?;
    let pods = with_members(pods, members);
    let (issued, secrets): (Vec<_>, Vec<_>) = secrets.into_iter().partition(Item::is_issued);
    // A StatefulSet that was to be taken over and never was goes on with its data.
    let keep = (policy != DeletionPolicy::Delete || is_foreign) && !claims.is_empty();
    if keep && !clusters.is_empty() {
        let whole = claims.iter().filter(|item| item.is_whole());
        try_join_all(whole.map(|item| retain(&cluster, item))).await?;
    }
    let workloads = [sets, clusters].concat();
    if !workloads.is_empty() || !pods.is_empty() {
        // Pods are left to their owner's removal, but for those that have lost theirs, and for those whose data goes as
        // well: an engine in its first initialisation takes its whole grace period otherwise. These go before their
        // owner: a kubelet that has begun to end a pod hears of no shorter period
        // (<https://github.com/kubernetes/kubernetes/issues/113606>), and the garbage collector gives the whole one.
        let hurry = policy == DeletionPolicy::Delete;
        if hurry || workloads.is_empty() {
            delete_all(&cluster, instance, pods.iter(), hurry.then_some(QUICK_GRACE)).await?;
        }
        delete_all(&cluster, instance, workloads.iter(), None).await?;
        let data = [claims, secrets].into_iter().flatten().filter(|_| !keep);
        let waiting = [workloads, pods, rest, issued].into_iter().flatten().chain(data);
        return Ok(Deprovisioned::InProgress(
            waiting.map(|item| item.key()).collect(),
        ));
    }
    let mut left = delete_all(&cluster, instance, rest.iter(), None).await?;
    if rest.iter().any(Item::is_certificate) {
        // cert-manager makes the Secret of a certificate again for as long as it knows of it.
        left.extend(issued.iter().map(Item::key));
    } else {
        left.extend(delete_all(&cluster, instance, issued.iter(), None).await?);
    }
    // A claim that still has an owner goes with it: a copy that was being made when the `Cluster` was removed.
    let is_kept = |item: &&Item| {
        keep && if item.is_claim() {
            !item.is_owned()
        } else {
            item.is_ours() && !is_foreign
        }
    };
    let (kept, data): (Vec<_>, Vec<_>) = claims.iter().chain(&secrets).partition(is_kept);
    try_join_all(kept.into_iter().map(|item| retain(&cluster, item))).await?;
    left.extend(delete_all(&cluster, instance, data.into_iter(), None).await?);
    Ok(if left.is_empty() {
        Deprovisioned::Done
    } else {
        Deprovisioned::InProgress(left)
    })
}

/// Every kind that is looked for; an object of another is left behind.
pub(crate) fn removed_kinds() -> Vec<ApiResource> {
    let mut kinds = native();
    kinds.extend(cert_manager());
    kinds.extend(monitors());
    kinds.extend([
        ApiResource::erase::<StatefulSet>(&()),
        clusters(),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<Secret>(&()),
    ]);
    kinds
}

fn clusters() -> ApiResource {
    ApiResource::erase::<cloudnative_pg::Cluster>(&())
}

/// Kinds that have no data and run nothing. Those of cert-manager and of the Prometheus Operator only where there is
/// reason to look: a role of an earlier version has no right to.
fn supporting(instance: &Instance) -> Vec<ApiResource> {
    let mut kinds = native();
    if instance.features.cert_manager || instance.spec.encryption.in_transit {
        kinds.extend(cert_manager());
    }
    if monitor::is_possible(&Scope::new(instance)) {
        kinds.extend(monitors());
    }
    kinds
}

fn monitors() -> [ApiResource; 2] {
    [
        ApiResource::erase::<ServiceMonitor>(&()),
        ApiResource::erase::<PodMonitor>(&()),
    ]
}

/// Removes what tells a Prometheus of an instance's metrics: of members that serve none any more, or that nobody may
/// ask, it would go on to say that they are down.
pub(super) async fn monitors_of(cluster: &Cluster<'_>, instance: &Instance) -> Result<(), ApplyError> {
    let found = list(cluster, instance, monitors().into(), false).await?;
    delete_all(cluster, instance, found.iter(), None).await?;
    Ok(())
}

fn cert_manager() -> [ApiResource; 2] {
    [
        ApiResource::erase::<Certificate>(&()),
        ApiResource::erase::<Issuer>(&()),
    ]
}

fn native() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// What has the instance's labels; where another operator may have made some of it, whoever manages it.
async fn list(
    cluster: &Cluster<'_>,
    instance: &Instance,
    resources: Vec<ApiResource>,
    delegated: bool,
) -> Result<Vec<Item>, ApplyError> {
    let mut selector = format!("{}={}", labels::DEPLOYMENT_ID, instance.deployment_id);
    if !delegated {
        selector = format!("{selector},{}={}", labels::MANAGED_BY_KEY, labels::MANAGED_BY);
    }
    let params = ListParams::default().labels(&selector);
    let lists = try_join_all(resources.into_iter().map(|resource| {
        let params = &params;
        async move {
            let api = cluster.api(&resource);
            let found = match cluster.request(&resource.kind, api.list_metadata(params)).await {
                Ok(found) => found.items,
                // The kind itself is not there, or no longer: whoever brought it has been removed.
                Err(error) if is_absent(&error) => Vec::new(),
                Err(error) => return Err(error),
            };
            let item = |meta| Item {
                resource: resource.clone(),
                meta,
            };
            Ok::<_, ApplyError>(found.into_iter().map(|o| item(o.metadata)).collect::<Vec<_>>())
        }
    }))
    .await?;
    Ok(lists.into_iter().flatten().collect())
}

/// The pods of a StatefulSet that was taken over, which need not have the instance's labels; and whether the StatefulSet
/// is there and was never taken over, so that its pods are not the instance's.
async fn adopted_members(
    cluster: &Cluster<'_>,
    instance: &Instance,
) -> Result<(Vec<Item>, bool), ApplyError> {
    let Some(adopted) = &instance.adopted else {
        return Ok((Vec::new(), false));
    };
    let sets = ApiResource::erase::<StatefulSet>(&());
    let set = cluster.get(&sets, &adopted.stateful_set).await?;
    if set.is_some_and(|set| !is_of(&set.metadata, instance)) {
        return Ok((Vec::new(), true));
    }
    let resource = ApiResource::erase::<Pod>(&());
    let selector: Selector = adopted.selector().into_iter().collect();
    let params = ListParams::default().labels_from(&selector);
    let found = cluster.api(&resource);
    let found = cluster
        .request(&resource.kind, found.list_metadata(&params))
        .await?;
    let members = found.items.into_iter().map(|object| object.metadata);
    let item = |meta| Item {
        resource: resource.clone(),
        meta,
    };
    let members = members.filter(|meta| is_member(meta, instance)).map(item);
    Ok((members.collect(), false))
}

/// Both without the pods that are in both.
fn with_members(mut pods: Vec<Item>, members: Vec<Item>) -> Vec<Item> {
    for member in members {
        if pods.iter().all(|pod| pod.meta.uid != member.meta.uid) {
            pods.push(member);
        }
    }
    pods
}

/// Whether a pod is one of a StatefulSet that was taken over.
fn is_member(meta: &ObjectMeta, instance: &Instance) -> bool {
    let Some(adopted) = &instance.adopted else {
        return false;
    };
    let ordinal = meta
        .name
        .as_deref()
        .and_then(|name| name.strip_prefix(adopted.stateful_set.as_str()));
    let ordinal = ordinal.and_then(|rest| rest.strip_prefix('-'));
    let has =
        |(key, value): (&String, &String)| meta.labels.as_ref().is_some_and(|l| l.get(key) == Some(value));
    ordinal.is_some_and(|ordinal| ordinal.parse::<u16>().is_ok()) && adopted.selector().iter().all(has)
}

/// Whether an object is the instance's, by its labels or as a pod of what was taken over.
fn is_its(meta: &ObjectMeta, instance: &Instance) -> bool {
    is_of(meta, instance) || is_member(meta, instance)
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
            Some(now) if now.metadata.uid == meta.uid && is_its(&now.metadata, instance) => {
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

/// Marks what outlives the instance, so that the next one of its name can adopt it, and takes it from its owner.
async fn retain(cluster: &Cluster<'_>, item: &Item) -> Result<(), ApplyError> {
    let marked = item
        .meta
        .labels
        .as_ref()
        .is_some_and(|l| l.get(RETAINED).is_some_and(|v| v == "true"));
    if marked && !item.is_owned() {
        return Ok(());
    }
    let mut metadata = json!({"uid": item.meta.uid, "labels": {RETAINED: "true"}});
    if item.is_owned() {
        metadata["ownerReferences"] = Value::Null;
    }
    if !item.is_ours() {
        metadata["labels"][labels::MANAGED_BY_KEY] = Value::from(labels::MANAGED_BY);
    }
    let patch = json!({"metadata": metadata});
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

    /// Whether cert-manager made it: a Secret that is no data of the instance's.
    fn is_issued(&self) -> bool {
        let labels = self.meta.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(CERTIFICATE_LABEL))
    }

    fn is_certificate(&self) -> bool {
        self.resource.kind == Certificate::kind(&())
    }

    fn key(&self) -> String {
        format!("{}/{}", self.resource.kind, self.name())
    }

    fn is_claim(&self) -> bool {
        self.resource.kind == "PersistentVolumeClaim"
    }

    /// Whether the garbage collector takes it with something else.
    fn is_owned(&self) -> bool {
        let owners = self.meta.owner_references.as_ref();
        owners.is_some_and(|owners| !owners.is_empty())
    }

    /// Whether a claim of a `Cluster` holds all of the data, and not a copy that is still being made.
    fn is_whole(&self) -> bool {
        let annotations = self.meta.annotations.as_ref();
        let status = annotations.and_then(|annotations| annotations.get(cloudnative_pg::CLAIM_STATUS));
        status.is_some_and(|status| status == cloudnative_pg::CLAIM_READY)
    }

    /// Whether KIDP made it, and not an operator that an instance is delegated to.
    fn is_ours(&self) -> bool {
        let labels = self.meta.labels.as_ref();
        let manager = labels.and_then(|labels| labels.get(labels::MANAGED_BY_KEY));
        manager.is_some_and(|manager| manager == labels::MANAGED_BY)
    }
}

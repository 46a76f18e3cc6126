//! Takes over what there is: the claim and Secret that an earlier instance of the same name left under `Retain`, and a
//! StatefulSet with its claim that were somebody else's, see [`crate::adoption`].
//!
//! The claim comes first. The Secret says whose the data is (it carries the team), so it stays retained until
//! the claim has followed; the StatefulSet says that all of it was taken over. A call that died in between is completed
//! by the next.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kidp_core::labels;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::ownership::{self, Ownership};
use super::request::Cluster;
use super::{ApplyError, Pair, Scope, volumes};
use crate::manifests::Object;
use crate::resources::meta::RETAINED;

/// Relabels what is retained, and the claim of what is taken over.
pub(super) async fn adopt(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    live: &mut [Pair<'_>],
    claims: &[DynamicObject],
) -> Result<(), ApplyError> {
    let claim_resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    for claim in claims {
        relabel(cluster, scope, &claim_resource, claim).await?;
    }
    for (object, secret) in live.iter_mut().filter(|(object, _)| object.is_secret()) {
        if let Some(found) = secret
            && let Some(adopted) = relabel(cluster, scope, object.resource(), found).await?
        {
            *secret = Some(adopted);
        }
    }
    Ok(())
}

/// Relabels the StatefulSet that is taken over. One whose pod template is replaced is removed without its pods and taken
/// out of `live`, to be made again around them: an apply would leave the fields of those who made it.
pub(super) async fn adopt_set(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    live: &mut [Pair<'_>],
) -> Result<(), ApplyError> {
    let Some((object, found)) = live.iter_mut().find(|(object, _)| is_set(object)) else {
        return Ok(());
    };
    let Some(set) = found else { return Ok(()) };
    if let Some(adopted) = relabel(cluster, scope, object.resource(), set).await? {
        *set = adopted;
    }
    if is_replaced(scope, object, set) {
        let as_read = set.metadata.resource_version.clone();
        volumes::orphan(cluster, object.resource(), set, as_read).await?;
        *found = None;
    }
    Ok(())
}

fn is_set(object: &Object) -> bool {
    object.kind() == StatefulSet::kind(&())
}

/// Whether a StatefulSet is still the one that was found, and is to be made anew.
pub(super) fn is_replaced(scope: &Scope<'_>, object: &Object, live: &DynamicObject) -> bool {
    is_set(object)
        && scope.adopted().is_some_and(|adopted| {
            adopted.is_replaced() && live.metadata.uid.as_deref() == Some(&adopted.uid)
        })
}

/// Refuses a StatefulSet that is to be taken over and is not the one that was looked at any more.
pub(super) fn check(scope: &Scope<'_>, object: &Object, live: &DynamicObject) -> Result<(), ApplyError> {
    let Some(adopted) = scope.adopted().filter(|_| is_set(object)) else {
        return Ok(());
    };
    let is_due =
        ownership::of(&live.metadata, scope) == Ownership::Adopted || is_replaced(scope, object, live);
    if is_due && live.metadata.generation != Some(adopted.generation) {
        return Err(ApplyError::AdoptionStale { object: object.key() });
    }
    Ok(())
}

async fn relabel(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    resource: &ApiResource,
    object: &DynamicObject,
) -> Result<Option<DynamicObject>, ApplyError> {
    let labels = match ownership::of(&object.metadata, scope) {
        Ownership::Retained => json!({
            RETAINED: null,
            labels::DEPLOYMENT_ID: scope.instance.deployment_id,
            labels::RESOURCE_UID: scope.stable_labels().get(labels::RESOURCE_UID),
        }),
        Ownership::Adopted => {
            let mut labels = json!(scope.stable_labels());
            labels[RETAINED] = Value::Null;
            labels
        }
        Ownership::Ours | Ownership::Deleting | Ownership::Foreign => return Ok(None),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    let patch = json!({"metadata": {
        // What was read, so that two instances cannot both adopt it.
        "resourceVersion": object.metadata.resource_version,
        "labels": labels,
    }});
    cluster.merge(resource, &name, &patch).await.map(Some)
}

//! Takes over the claim and Secret that an earlier instance of the same name left under `Retain`.
//!
//! The claim comes first: the Secret says whose the data is (it carries the team), so it stays retained until
//! the claim has followed, and a call that died in between is completed by the next.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kidp_core::labels;
use kube::api::{ApiResource, DynamicObject};
use serde_json::json;

use super::ownership::{self, Ownership};
use super::request::Cluster;
use super::{ApplyError, Pair, Scope};
use crate::resources::meta::RETAINED;

/// Relabels what is retained.
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

async fn relabel(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    resource: &ApiResource,
    object: &DynamicObject,
) -> Result<Option<DynamicObject>, ApplyError> {
    if ownership::of(&object.metadata, scope) != Ownership::Retained {
        return Ok(None);
    }
    let name = object.metadata.name.clone().unwrap_or_default();
    let patch = json!({"metadata": {
        // What was read, so that two instances cannot both adopt it.
        "resourceVersion": object.metadata.resource_version,
        "labels": {
            RETAINED: null,
            labels::DEPLOYMENT_ID: scope.instance.deployment_id,
            labels::RESOURCE_UID: scope.stable_labels().get(labels::RESOURCE_UID),
        }
    }});
    cluster.merge(resource, &name, &patch).await.map(Some)
}

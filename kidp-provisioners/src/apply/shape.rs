//! An instance that another operator runs, and one of a StatefulSet: neither finds the other's data, so neither
//! becomes the other.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject, ListParams};

use super::ownership::{self, Ownership};
use super::request::{Cluster, is_absent};
use super::{ApplyError, Scope};
use crate::manifests::{Manifests, Prepared};
use crate::resources::cloudnative_pg::{self, CLUSTER_LABEL};

/// What runs the members of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A StatefulSet, which makes a claim for each member.
    StatefulSet,
    /// A `Cluster`, whose claims are made by CloudNativePG.
    Cluster,
}

/// What runs the members of a rendered instance.
pub(super) fn of(manifests: &Manifests<Prepared>) -> Shape {
    let cluster = ApiResource::erase::<cloudnative_pg::Cluster>(&());
    if manifests.objects().iter().any(|o| *o.resource() == cluster) {
        Shape::Cluster
    } else {
        Shape::StatefulSet
    }
}

/// Refuses to make an instance of one shape where there is something of the other. `members` is their number on record.
pub(super) async fn check(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    shape: Shape,
    members: i32,
) -> Result<(), ApplyError> {
    match shape {
        Shape::Cluster => {
            let (set, claim) = (
                ApiResource::erase::<StatefulSet>(&()),
                ApiResource::erase::<PersistentVolumeClaim>(&()),
            );
            let name = scope.claim(0);
            let (set, claim) = tokio::try_join!(cluster.get(&set, &scope.base), cluster.get(&claim, &name))?;
            set.iter().try_for_each(|set| refuse(scope, "StatefulSet", set))?;
            claim
                .iter()
                .try_for_each(|claim| refuse(scope, "PersistentVolumeClaim", claim))
        }
        // A record of several members is enough to look: their claims outlive CloudNativePG.
        Shape::StatefulSet if cloudnative_pg::is_possible(scope.instance) || is_several(scope, members) => {
            let live = live_cluster(cluster, scope).await?;
            live.iter().try_for_each(|live| refuse(scope, "Cluster", live))?;
            let claims = claims(cluster, scope).await?;
            claims.first().map_or(Ok(()), |claim| {
                let found = key("PersistentVolumeClaim", claim);
                Err(if claim.metadata.deletion_timestamp.is_some() {
                    ApplyError::StillDeleting { object: found }
                } else {
                    ApplyError::ShapeChange { found }
                })
            })
        }
        Shape::StatefulSet => Ok(()),
    }
}

fn is_several(scope: &Scope<'_>, members: i32) -> bool {
    scope.instance.spec.engine == kidp_core::instance::Engine::Postgresql && members > 1
}

/// The `Cluster` of the instance's name; none where there is no such kind.
pub(super) async fn live_cluster(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
) -> Result<Option<DynamicObject>, ApplyError> {
    let resource = ApiResource::erase::<cloudnative_pg::Cluster>(&());
    match cluster.get(&resource, &scope.base).await {
        Err(error) if is_absent(&error) => Ok(None),
        other => other,
    }
}

/// The claims of a `Cluster` of the instance's name, whoever's it was.
pub(super) async fn claims(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
) -> Result<Vec<DynamicObject>, ApplyError> {
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    let params = ListParams::default().labels(&format!("{CLUSTER_LABEL}={}", scope.base));
    let found = cluster.api(&resource);
    let list = cluster.request(&resource.kind, found.list(&params)).await?;
    Ok(list.items)
}

fn refuse(scope: &Scope<'_>, kind: &str, found: &DynamicObject) -> Result<(), ApplyError> {
    let found_key = key(kind, found);
    Err(match ownership::of(&found.metadata, scope) {
        Ownership::Ours | Ownership::Adopted | Ownership::Retained => {
            ApplyError::ShapeChange { found: found_key }
        }
        Ownership::Deleting => ApplyError::StillDeleting { object: found_key },
        Ownership::Foreign => ApplyError::NameCollision { object: found_key },
    })
}

fn key(kind: &str, found: &DynamicObject) -> String {
    format!("{kind}/{}", found.meta().name.as_deref().unwrap_or_default())
}

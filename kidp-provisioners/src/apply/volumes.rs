//! Volume claims: whose they are, and how they grow.
//!
//! A StatefulSet's claim templates cannot be changed. To grow, the claims themselves are patched, the StatefulSet
//! is deleted without its pods, and the apply that follows makes it again around them. Pods keep running, unless
//! their configuration follows the volume's size: then they are restarted, as by any change of configuration.

use std::ops::Range;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kidp_core::quantity::parse_bytes;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Preconditions};
use kube::{Error, Resource};
use serde_json::{Value, json};

use super::request::{Cluster, is_not_found};
use super::{ApplyError, Pair, Scope, ownership};
use crate::manifests::{Manifests, Prepared};

const TEMPLATE_SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
const CLAIM_SIZE: &str = "/spec/resources/requests/storage";
/// More than any engine has; what is on record could have been edited.
const MOST_MEMBERS: i32 = 16;
const POLL: Duration = Duration::from_millis(50);

/// Reads the claims that the rendered StatefulSet is going to use.
pub(super) async fn read(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    manifests: &Manifests<Prepared>,
) -> Result<Vec<DynamicObject>, ApplyError> {
    claims(cluster, scope, 0..replicas(manifests)).await
}

/// Refuses to leave out members that share the data, see [`ApplyError::MembersShrink`]. `members` is their number on
/// record. A claim that never got a volume belongs to a member that never came to be.
pub(super) async fn check_members(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    manifests: &Manifests<Prepared>,
    members: i32,
) -> Result<(), ApplyError> {
    let wanted = replicas(manifests);
    let left_out = claims(cluster, scope, wanted..members.min(MOST_MEMBERS)).await?;
    let in_use = |claim: &&DynamicObject| text(&claim.data, "/status/phase") != Some("Pending");
    match left_out.iter().find(in_use) {
        Some(claim) => Err(ApplyError::MembersShrink {
            from: members,
            to: wanted,
            claim: key(claim),
        }),
        None => Ok(()),
    }
}

fn replicas(manifests: &Manifests<Prepared>) -> i32 {
    manifests
        .objects()
        .iter()
        .find_map(|object| object.json().pointer("/spec/replicas"))
        .and_then(Value::as_i64)
        .and_then(|replicas| i32::try_from(replicas).ok())
        .unwrap_or_default()
}

async fn claims(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    ordinals: Range<i32>,
) -> Result<Vec<DynamicObject>, ApplyError> {
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    let names: Vec<_> = ordinals.map(|ordinal| scope.claim(ordinal)).collect();
    let found = try_join_all(names.iter().map(|name| cluster.get(&resource, name))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Refuses claims of someone else, and data whose password is lost: a new one would not open it.
pub(super) fn check(scope: &Scope<'_>, claims: &[DynamicObject], has_secret: bool) -> Result<(), ApplyError> {
    for claim in claims {
        ownership::of(&claim.metadata, scope).require_usable(|| key(claim))?;
    }
    match claims.first() {
        Some(claim) if !has_secret => Err(ApplyError::DataWithoutCredentials {
            claim: key(claim),
            secret: scope.secret(),
        }),
        _ => Ok(()),
    }
}

/// Grows claims that are smaller than asked for. A live StatefulSet with another size is taken out of `live`, to
/// be made again.
pub(super) async fn grow(
    cluster: &Cluster<'_>,
    live: &mut [Pair<'_>],
    claims: &[DynamicObject],
) -> Result<(), ApplyError> {
    let kind = StatefulSet::kind(&());
    let Some((object, found)) = live.iter_mut().find(|(object, _)| object.kind() == kind) else {
        return Ok(());
    };
    let Some(wanted) = text(object.json(), TEMPLATE_SIZE) else {
        return Ok(());
    };
    let current = found.as_ref().and_then(|set| text(&set.data, TEMPLATE_SIZE));
    if let Some(current) = current.filter(|current| bytes(current) > bytes(wanted)) {
        return Err(ApplyError::StorageShrink {
            from: current.to_owned(),
            to: wanted.to_owned(),
        });
    }
    let smaller =
        |claim: &&DynamicObject| bytes(text(&claim.data, CLAIM_SIZE).unwrap_or_default()) < bytes(wanted);
    for claim in claims.iter().filter(smaller) {
        resize(cluster, claim, wanted).await?;
    }
    if current.is_some_and(|current| bytes(current) < bytes(wanted))
        && let Some(set) = found.take()
    {
        orphan(cluster, object.resource(), &set).await?;
    }
    Ok(())
}

async fn resize(cluster: &Cluster<'_>, claim: &DynamicObject, to: &str) -> Result<(), ApplyError> {
    let name = claim.metadata.name.clone().unwrap_or_default();
    let patch = json!({"spec": {"resources": {"requests": {"storage": to}}}});
    let resource = ApiResource::erase::<PersistentVolumeClaim>(&());
    match cluster.merge(&resource, &name, &patch).await {
        Ok(_) => Ok(()),
        Err(ApplyError::Kube { source, object }) => match *source {
            Error::Api(status) if status.is_forbidden() || status.is_invalid() => {
                Err(ApplyError::StorageResize {
                    claim: object,
                    to: to.to_owned(),
                    message: status.message.clone(),
                })
            }
            other => Err(ApplyError::Kube {
                object,
                source: Box::new(other),
            }),
        },
        Err(other) => Err(other),
    }
}

/// Deletes a StatefulSet without its pods, and waits until it is gone.
async fn orphan(
    cluster: &Cluster<'_>,
    resource: &ApiResource,
    set: &DynamicObject,
) -> Result<(), ApplyError> {
    let name = set.metadata.name.clone().unwrap_or_default();
    let object = format!("{}/{name}", resource.kind);
    let params = DeleteParams::orphan().preconditions(Preconditions {
        uid: set.metadata.uid.clone(),
        resource_version: None,
    });
    let api = cluster.api(resource);
    let gone = async {
        match api.delete(&name, &params).await {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
        while api.get_metadata_opt(&name).await?.is_some() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    cluster.request(&object, gone).await
}

fn key(claim: &DynamicObject) -> String {
    format!(
        "PersistentVolumeClaim/{}",
        claim.metadata.name.as_deref().unwrap_or_default()
    )
}

fn text<'a>(json: &'a Value, pointer: &str) -> Option<&'a str> {
    json.pointer(pointer).and_then(Value::as_str)
}

fn bytes(quantity: &str) -> u64 {
    parse_bytes(quantity).unwrap_or_default()
}

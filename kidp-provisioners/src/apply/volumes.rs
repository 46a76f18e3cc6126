//! Volume claims: whose they are, and how they grow.
//!
//! A StatefulSet's claim templates cannot be changed. To grow, the claims themselves are patched, the StatefulSet
//! is deleted without its pods, and the apply that follows makes it again around them. Pods keep running, unless
//! their configuration follows the volume's size: then they are restarted, as by any change of configuration.
//!
//! The claims of a `Cluster` are CloudNativePG's, which grows them by itself. Only those that an earlier instance left
//! behind are of interest here: without an owner they are taken over by the next `Cluster` of the name, with all that
//! is on them, so whose they are is asked before there is one.

use std::ops::Range;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kidp_core::quantity::parse_bytes;
use kidp_drift::Change;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Preconditions};
use kube::{Error, Resource};
use serde_json::{Value, json};

use super::request::{Cluster, is_not_found};
use super::shape::{self, Shape};
use super::{ApplyError, Pair, Scope, ownership};
use crate::manifests::{Manifests, Object, Prepared};
use crate::resources::cloudnative_pg;

const TEMPLATE_SIZE: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
const CLAIM_SIZE: &str = "/spec/resources/requests/storage";
const CLUSTER_STORAGE: &str = "/spec/storage/size";
/// Of a StatefulSet, and of a `Cluster`.
const REPLICAS: [&str; 2] = ["/spec/replicas", "/spec/instances"];
/// More than any engine has; what is on record could have been edited.
const MOST_MEMBERS: i32 = 16;
const POLL: Duration = Duration::from_millis(50);

/// Reads the claims that the rendered StatefulSet is going to use, or that the `Cluster` is going to take over.
pub(super) async fn read(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    manifests: &Manifests<Prepared>,
    shape: Shape,
) -> Result<Vec<DynamicObject>, ApplyError> {
    match shape {
        Shape::StatefulSet => claims(cluster, scope, 0..replicas(manifests)).await,
        Shape::Cluster => {
            let mut found = shape::claims(cluster, scope).await?;
            found.retain(|claim| claim.metadata.owner_references.as_ref().is_none_or(Vec::is_empty));
            Ok(found)
        }
    }
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
    let written = |object: &&Object| REPLICAS.iter().any(|path| object.json().pointer(path).is_some());
    let object = manifests.objects().iter().find(written);
    object.map(replicas_of).unwrap_or_default()
}

fn replicas_of(object: &Object) -> i32 {
    REPLICAS
        .iter()
        .find_map(|path| object.json().pointer(path))
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

/// How the claims of a StatefulSet differ from its rendering: a claim that a pod was made for and is not there, or is on
/// its way out, and one of another size. The claims of a `Cluster` are CloudNativePG's.
pub(super) async fn drift(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    object: &Object,
    set: &DynamicObject,
) -> Result<Vec<Change>, ApplyError> {
    if object.kind() != StatefulSet::kind(&()) {
        return Ok(Vec::new());
    }
    let found = claims(cluster, scope, 0..pods_of(set)).await?;
    Ok(changes(scope, object, set, &found))
}

/// How these claims differ from the rendering of a StatefulSet; nothing for any other object.
pub(super) fn changes(
    scope: &Scope<'_>,
    object: &Object,
    set: &DynamicObject,
    claims: &[DynamicObject],
) -> Vec<Change> {
    let Some(wanted) = text(object.json(), TEMPLATE_SIZE).filter(|_| object.kind() == StatefulSet::kind(&()))
    else {
        return Vec::new();
    };
    let of_pod = |ordinal| {
        let name = scope.claim(ordinal);
        let claim = claims
            .iter()
            .find(|claim| claim.metadata.name.as_deref() == Some(name.as_str()));
        match claim {
            Some(claim) => claim_change(&name, wanted, &super::write::as_json(claim)),
            None => Some(Change::missing(format!("PersistentVolumeClaim/{name}"))),
        }
    };
    (0..pods_of(set).min(replicas_of(object)))
        .filter_map(of_pod)
        .collect()
}

/// Whether a change is a volume that is smaller than it should be, which can be put right.
pub(super) fn is_growth(change: &Change) -> bool {
    let is_size =
        change.path.ends_with("spec.resources.requests.storage") || change.path == "spec.storage.size";
    let size = |value: &Value| bytes(value.as_str().unwrap_or_default());
    is_size && size(&change.after) < size(&change.before)
}

/// Pods that have claims: the controller makes a claim before its pod, so what it made no pod for may have none yet.
fn pods_of(set: &DynamicObject) -> i32 {
    let pods = set.data.pointer("/status/replicas").and_then(Value::as_i64);
    let pods = pods.and_then(|pods| i32::try_from(pods).ok()).unwrap_or_default();
    pods.min(MOST_MEMBERS)
}

fn claim_change(name: &str, wanted: &str, claim: &Value) -> Option<Change> {
    if claim.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(Change {
            path: "metadata.deletionTimestamp".to_owned(),
            after: claim["metadata"]["deletionTimestamp"].clone(),
            ..Change::missing(format!("PersistentVolumeClaim/{name}"))
        });
    }
    let desired = json!({
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": wanted}}}
    });
    kidp_drift::diff(&desired, claim).into_iter().next()
}

/// Grows claims that are smaller than asked for. A live StatefulSet with another size is taken out of `live`, to
/// be made again.
pub(super) async fn grow(
    cluster: &Cluster<'_>,
    live: &mut [Pair<'_>],
    claims: &[DynamicObject],
) -> Result<(), ApplyError> {
    let cluster_kind = cloudnative_pg::Cluster::kind(&());
    if let Some((object, found)) = live.iter().find(|(object, _)| object.kind() == cluster_kind) {
        return grows(object, found.as_ref(), CLUSTER_STORAGE).map(|_| ());
    }
    let kind = StatefulSet::kind(&());
    let Some((object, found)) = live.iter_mut().find(|(object, _)| object.kind() == kind) else {
        return Ok(());
    };
    let Some(wanted) = text(object.json(), TEMPLATE_SIZE) else {
        return Ok(());
    };
    let grows = grows(object, found.as_ref(), TEMPLATE_SIZE)?;
    let smaller =
        |claim: &&DynamicObject| bytes(text(&claim.data, CLAIM_SIZE).unwrap_or_default()) < bytes(wanted);
    for claim in claims.iter().filter(smaller) {
        resize(cluster, claim, wanted).await?;
    }
    if grows && let Some(set) = found.take() {
        orphan(cluster, object.resource(), &set, None).await?;
    }
    Ok(())
}

/// Whether the size at `path` is larger in the rendered object than in the live one; a smaller one is refused.
fn grows(object: &Object, live: Option<&DynamicObject>, path: &str) -> Result<bool, ApplyError> {
    let current = live.and_then(|live| text(&live.data, path));
    let (Some(current), Some(wanted)) = (current, text(object.json(), path)) else {
        return Ok(false);
    };
    if bytes(current) > bytes(wanted) {
        return Err(ApplyError::StorageShrink {
            from: current.to_owned(),
            to: wanted.to_owned(),
        });
    }
    Ok(bytes(current) < bytes(wanted))
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

/// Deletes a StatefulSet without its pods, and waits until it is gone. `as_read` is the version that it must still have.
pub(super) async fn orphan(
    cluster: &Cluster<'_>,
    resource: &ApiResource,
    set: &DynamicObject,
    as_read: Option<String>,
) -> Result<(), ApplyError> {
    let name = set.metadata.name.clone().unwrap_or_default();
    let object = format!("{}/{name}", resource.kind);
    let params = DeleteParams::orphan().preconditions(Preconditions {
        uid: set.metadata.uid.clone(),
        resource_version: as_read,
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

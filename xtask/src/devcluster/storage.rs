//! The storage provisioner of the development cluster: a long-running controller that gives each claim of the class
//! `kidp-dev` a folder, as a `local` volume. In the class `kidp-dev-sized` the folder has a file system of the claim's
//! size in it, see [`sized`].
//!
//! # Flow
//! The scheduler picks the node of a waiting claim and says so in an annotation; then a folder and a volume with the
//! claim's name on it are made, and Kubernetes binds the two. A released volume whose policy is `Delete` loses its
//! folder, then itself. A claim that grows has its new size written to both objects.
//!
//! # Assumptions and caveats
//! There is one node, which is this machine. A folder has no size limit: sizes are recorded, and enforced in the second
//! class only.
//! The names are derived from the claim's UID, so that doing a step twice does it once.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{
    LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference,
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::Error;

mod sized;

/// The default class.
pub const CLASS: &str = "kidp-dev";
const PROVISIONER: &str = "kidp.dev/local";
/// Annotation of a claim with the node that the scheduler picked for it.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const RETRY: Duration = Duration::from_secs(2);

struct Context {
    client: Client,
    volumes: PathBuf,
}

/// Runs until the process is ended.
pub async fn run(kubeconfig: &Path, volumes: PathBuf) -> Result<(), Error> {
    let client = super::client(kubeconfig).await?;
    let context = Arc::new(Context {
        client: client.clone(),
        volumes,
    });
    let claims = Controller::new(
        Api::<PersistentVolumeClaim>::all(client.clone()),
        watcher::Config::default(),
    )
    .run(reconcile_claim, retry, context.clone())
    .for_each(|result| async { report(result.map(|(object, _)| object.name)) });
    let released = Controller::new(Api::<PersistentVolume>::all(client), watcher::Config::default())
        .run(reconcile_volume, retry, context)
        .for_each(|result| async { report(result.map(|(object, _)| object.name)) });
    futures::join!(claims, released);
    Ok(())
}

fn report<E: std::fmt::Display>(result: Result<String, E>) {
    match result {
        Ok(name) => tracing::debug!(name, "reconciled"),
        Err(error) => tracing::warn!(%error, "will be tried again"),
    }
}

fn retry<K>(_: Arc<K>, _: &Error, _: Arc<Context>) -> Action {
    Action::requeue(RETRY)
}

async fn reconcile_claim(claim: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, Error> {
    if let Some(volume) = volume_for(&claim, &context.volumes) {
        let folder = context.volumes.join(volume.name_any());
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        if let (true, Some(size)) = (is_sized(&volume), capacity(&volume)) {
            sized::provide(&folder, &size.0)?;
        }
        let api = Api::<PersistentVolume>::all(context.client.clone());
        match api.create(&PostParams::default(), &volume).await {
            Ok(_) => tracing::info!(volume = volume.name_any(), claim = claim.name_any(), "made"),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    } else if let Some(growth) = growth(&claim) {
        grow(&claim, &growth, &context).await?;
    }
    Ok(Action::await_change())
}

async fn reconcile_volume(volume: Arc<PersistentVolume>, context: Arc<Context>) -> Result<Action, Error> {
    if !to_be_deleted(&volume) {
        return Ok(Action::await_change());
    }
    let folder = context.volumes.join(volume.name_any());
    if is_sized(&volume) {
        sized::withdraw(&folder)?;
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&folder)(error)),
        _ => {}
    }
    let preconditions = Some(Preconditions {
        uid: volume.uid(),
        ..Preconditions::default()
    });
    let params = DeleteParams {
        preconditions,
        ..DeleteParams::default()
    };
    match Api::<PersistentVolume>::all(context.client.clone())
        .delete(&volume.name_any(), &params)
        .await
    {
        Ok(_) => tracing::info!(volume = volume.name_any(), "deleted"),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Action::await_change())
}

/// The volume that a waiting claim of our class needs; `None` when it is not ours, not waiting, or has no node yet.
fn volume_for(claim: &PersistentVolumeClaim, volumes: &Path) -> Option<PersistentVolume> {
    let spec = claim.spec.as_ref()?;
    let class = spec.storage_class_name.clone().filter(|class| is_ours(class))?;
    if spec.volume_name.is_some() || claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let node = claim.annotations().get(SELECTED_NODE)?;
    let name = format!("pvc-{}", claim.uid()?);
    Some(PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(BTreeMap::from([(
                PROVISIONED_BY.to_owned(),
                PROVISIONER.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: Some(BTreeMap::from([("storage".to_owned(), requested(claim)?)])),
            claim_ref: Some(claim_reference(claim)),
            local: Some(LocalVolumeSource {
                path: volumes.join(name).display().to_string(),
                fs_type: None,
            }),
            node_affinity: Some(only_on(node)),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: Some(class),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    })
}

fn is_ours(class: &str) -> bool {
    [CLASS, sized::CLASS].contains(&class)
}

fn is_sized(volume: &PersistentVolume) -> bool {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.storage_class_name.as_deref()) == Some(sized::CLASS)
}

fn capacity(volume: &PersistentVolume) -> Option<&Quantity> {
    volume.spec.as_ref()?.capacity.as_ref()?.get("storage")
}

fn claim_reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: claim.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

fn only_on(node: &str) -> VolumeNodeAffinity {
    let requirement = NodeSelectorRequirement {
        key: "kubernetes.io/hostname".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm {
        match_expressions: Some(vec![requirement]),
        ..NodeSelectorTerm::default()
    };
    VolumeNodeAffinity {
        required: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    claim
        .spec
        .as_ref()?
        .resources
        .as_ref()?
        .requests
        .as_ref()?
        .get("storage")
        .cloned()
}

/// The size a bound claim of ours asks for, when that is not the size it has. The API server admits growth only, and
/// it writes quantities in one form, so that comparing the text is enough.
fn growth(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let spec = claim.spec.as_ref()?;
    let bound = claim
        .status
        .as_ref()
        .is_some_and(|s| s.phase.as_deref() == Some("Bound"));
    if !spec.storage_class_name.as_deref().is_some_and(is_ours) || !bound {
        return None;
    }
    let has = claim.status.as_ref()?.capacity.as_ref()?.get("storage");
    requested(claim).filter(|wanted| has != Some(wanted))
}

async fn grow(claim: &PersistentVolumeClaim, size: &Quantity, context: &Context) -> Result<(), Error> {
    let client = &context.client;
    let Some(volume) = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) else {
        return Ok(());
    };
    if claim
        .spec
        .as_ref()
        .is_some_and(|spec| spec.storage_class_name.as_deref() == Some(sized::CLASS))
    {
        sized::provide(&context.volumes.join(volume), &size.0)?;
    }
    let params = PatchParams::default();
    let capacity = Patch::Merge(json!({ "spec": { "capacity": { "storage": size } } }));
    Api::<PersistentVolume>::all(client.clone())
        .patch(volume, &params, &capacity)
        .await?;
    let status = Patch::Merge(json!({ "status": { "capacity": { "storage": size }, "conditions": null } }));
    let claims =
        Api::<PersistentVolumeClaim>::namespaced(client.clone(), &claim.namespace().unwrap_or_default());
    claims.patch_status(&claim.name_any(), &params, &status).await?;
    tracing::info!(volume, size = size.0, "grown");
    Ok(())
}

/// Whether a volume is ours, was let go by its claim, and may lose its data.
fn to_be_deleted(volume: &PersistentVolume) -> bool {
    let ours = volume
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|name| name == PROVISIONER);
    let released = volume
        .status
        .as_ref()
        .is_some_and(|s| s.phase.as_deref() == Some("Released"));
    let policy = volume
        .spec
        .as_ref()
        .and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    ours && released && policy == Some("Delete") && volume.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(extra: &serde_json::Value) -> PersistentVolumeClaim {
        let mut value = json!({
            "metadata": { "name": "data", "namespace": "team", "uid": "u1",
                "annotations": { SELECTED_NODE: "kidp-node" } },
            "spec": { "storageClassName": CLASS, "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "1Gi" } } },
        });
        for (key, part) in extra.as_object().unwrap() {
            for (name, field) in part.as_object().unwrap() {
                value[key][name] = field.clone();
            }
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_waiting_claim_gets_a_volume_of_its_own() {
        let volume = volume_for(&claim(&json!({})), Path::new("/v")).unwrap();
        let spec = volume.spec.unwrap();
        assert_eq!(spec.local.unwrap().path, "/v/pvc-u1");
        assert_eq!(spec.claim_ref.unwrap().uid.as_deref(), Some("u1"));
        assert_eq!(spec.capacity.unwrap()["storage"], Quantity("1Gi".into()));
    }

    #[test]
    fn other_claims_get_none() {
        let none = |extra| assert!(volume_for(&claim(&extra), Path::new("/v")).is_none());
        none(json!({ "spec": { "storageClassName": "other" } }));
        none(json!({ "spec": { "volumeName": "bound" } }));
        none(json!({ "metadata": { "annotations": {} } }));
    }

    #[test]
    fn growth_is_seen_once() {
        let bound =
            |has: &str| claim(&json!({ "status": { "phase": "Bound", "capacity": { "storage": has } } }));
        assert_eq!(growth(&bound("500Mi")), Some(Quantity("1Gi".into())));
        assert_eq!(growth(&bound("1Gi")), None);
        assert_eq!(growth(&claim(&json!({}))), None);
    }

    #[test]
    fn only_a_released_volume_of_ours_is_deleted() {
        let volume = |phase: &str, policy: &str, by: &str| -> PersistentVolume {
            serde_json::from_value(json!({
                "metadata": { "name": "v", "annotations": { PROVISIONED_BY: by } },
                "spec": { "persistentVolumeReclaimPolicy": policy }, "status": { "phase": phase },
            }))
            .unwrap()
        };
        assert!(to_be_deleted(&volume("Released", "Delete", PROVISIONER)));
        assert!(!to_be_deleted(&volume("Bound", "Delete", PROVISIONER)));
        assert!(!to_be_deleted(&volume("Released", "Retain", PROVISIONER)));
        assert!(!to_be_deleted(&volume("Released", "Delete", "someone/else")));
    }
}

//! Whether an object is written, how much of it, and how.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kidp_core::group::{APPLIED_HASH_ANNOTATION, BROKER_FIELD_MANAGER};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;

use super::request::Cluster;
use super::{ApplyError, Options};
use crate::manifests::{BuildError, Object};

/// Whether an object is to be written.
pub(super) fn is_due(object: &Object, live: Option<&DynamicObject>) -> bool {
    live.is_none_or(|live| !kidp_drift::diff(object.json(), &as_json(live)).is_empty())
}

/// What an object's note says of the rendering that it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// It is this one.
    Same,
    /// It is another one: what differs then is asked for, and is no drift.
    Another,
    /// Somebody took the note off or edited it: it says nothing, and is to be written again.
    Unknown,
}

/// The rendering that a live object was made from, where KIDP and `manager` write the notes.
pub(super) fn rendering(object: &Object, live: &DynamicObject, manager: &str) -> Rendering {
    let applied = live.metadata.annotations.as_ref();
    let applied = applied.and_then(|notes| notes.get(APPLIED_HASH_ANNOTATION));
    let rendered = object.json()["metadata"]["annotations"].get(APPLIED_HASH_ANNOTATION);
    match applied {
        None => Rendering::Unknown,
        Some(applied) if rendered.and_then(Value::as_str) == Some(applied) => Rendering::Same,
        Some(_) if is_edited(live, manager) => Rendering::Unknown,
        Some(_) => Rendering::Another,
    }
}

/// Whether the note is somebody else's by now.
fn is_edited(live: &DynamicObject, manager: &str) -> bool {
    let is_ours =
        |name: &str| [manager, BROKER_FIELD_MANAGER].contains(&name) || appliers(live).contains(&name);
    note_owners(live).any(|entry| !is_ours(entry.manager.as_deref().unwrap_or_default()))
}

/// Managers that apply what is rendered. A host may go by another name than KIDP's.
pub(super) fn appliers(live: &DynamicObject) -> Vec<&str> {
    let applies = |entry: &&ManagedFieldsEntry| entry.operation.as_deref() == Some("Apply");
    note_owners(live)
        .filter(applies)
        .filter_map(|entry| entry.manager.as_deref())
        .collect()
}

fn note_owners(live: &DynamicObject) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let entries = live.metadata.managed_fields.iter().flatten();
    entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| {
            let notes = &fields["f:metadata"]["f:annotations"];
            notes.get(format!("f:{APPLIED_HASH_ANNOTATION}")).is_some()
        })
    })
}

/// A live object as JSON. What cannot be represented differs from everything and is written again.
pub(super) fn as_json(live: &DynamicObject) -> Value {
    serde_json::to_value(live).unwrap_or_default()
}

/// Creates the Secret, applies anything else, but for the fields that are `left` as they are; answers `Kind/name`.
pub(super) async fn write(
    cluster: &Cluster<'_>,
    options: &Options,
    object: &Object,
    live: Option<&DynamicObject>,
    left: &[&str],
) -> Result<String, ApplyError> {
    let key = object.key();
    let api = cluster.api(object.resource());
    if object.is_secret() && live.is_none() {
        let body: DynamicObject =
            serde_json::from_value(object.json().clone()).map_err(|source| BuildError::Serialise {
                object: key.clone(),
                source,
            })?;
        let params = PostParams {
            field_manager: Some(options.field_manager.clone()),
            ..PostParams::default()
        };
        cluster.request(&key, api.create(&params, &body)).await?;
    } else {
        let mut body = kidp_drift::without(object.json(), left);
        if let Some(note) = object.json()["metadata"]["annotations"].get(APPLIED_HASH_ANNOTATION) {
            // Even where all other annotations are left away.
            body["metadata"]["annotations"][APPLIED_HASH_ANNOTATION] = note.clone();
        }
        // The UID makes it an update of what was read: not of another object, and not a creation.
        if let Some(uid) = live.and_then(|live| live.metadata.uid.clone()) {
            body["metadata"]["uid"] = Value::from(uid);
        }
        let params = PatchParams::apply(&options.field_manager).force();
        cluster
            .request(&key, api.patch(object.name(), &params, &Patch::Apply(&body)))
            .await?;
    }
    tracing::debug!(object = %key, "written");
    Ok(key)
}

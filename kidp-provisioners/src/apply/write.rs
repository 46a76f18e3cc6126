//! Whether an object is written, and how.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;

use super::request::Cluster;
use super::{ApplyError, Options};
use crate::manifests::{BuildError, Object};

/// Whether an object is to be written.
pub(super) fn is_due(object: &Object, live: Option<&DynamicObject>) -> bool {
    live.is_none_or(|live| !kidp_drift::diff(object.json(), &as_json(live)).is_empty())
}

/// A live object as JSON. What cannot be represented differs from everything and is written again.
pub(super) fn as_json(live: &DynamicObject) -> Value {
    serde_json::to_value(live).unwrap_or_default()
}

/// Creates the Secret, applies anything else; answers `Kind/name`.
pub(super) async fn write(
    cluster: &Cluster<'_>,
    options: &Options,
    object: &Object,
    live: Option<&DynamicObject>,
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
        let mut body = object.json().clone();
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

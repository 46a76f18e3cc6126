//! Writes to records of either kind. Each carries the resource version that it was decided on: where the record has
//! changed since, nothing is written, and the reconcile runs again on the new one.

use std::fmt::Debug;

use kidp_core::group::BROKER_FIELD_MANAGER;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::ReconcileError;
use crate::records::post_params;

/// A record of this broker's.
pub(super) trait Record:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Record for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

fn api<K: Record>(client: &Client, record: &K) -> Api<K> {
    Api::namespaced(client.clone(), &record.namespace().unwrap_or_default())
}

/// Writes the status of `changed`, and gives the record as it is then.
pub(super) async fn status<K: Record>(client: &Client, changed: &K) -> Result<K, ReconcileError> {
    match api(client, changed)
        .replace_subresource("status", &changed.name_any(), &post_params(), changed)
        .await
    {
        Ok(written) => Ok(written),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Err(ReconcileError::Stale)
        }
        Err(error) => Err(Box::new(error).into()),
    }
}

/// Writes the spec of `changed`.
pub(super) async fn spec<K: Record>(client: &Client, changed: &K) -> Result<(), ReconcileError> {
    match api(client, changed)
        .replace(&changed.name_any(), &post_params(), changed)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
            Err(ReconcileError::Stale)
        }
        Err(error) => Err(Box::new(error).into()),
    }
}

/// Takes a finalizer off. A record that is gone is as good; whether it was there still.
pub(super) async fn release<K: Record>(
    client: &Client,
    record: &K,
    finalizer: &str,
) -> Result<bool, ReconcileError> {
    let others: Vec<_> = record.finalizers().iter().filter(|f| *f != finalizer).collect();
    let patch = json!({"metadata": {"resourceVersion": record.resource_version(), "finalizers": others}});
    let params = PatchParams {
        field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api(client, record)
        .patch(&record.name_any(), &params, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(kube::Error::Api(status)) if status.is_conflict() => Err(ReconcileError::Stale),
        Err(error) => Err(Box::new(error).into()),
    }
}

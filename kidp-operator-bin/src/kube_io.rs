//! Every write to the management cluster.
//!
//! Each carries the resource version that it was decided on, so that a decision on an old copy is refused by the
//! API server instead of undoing somebody's work. Statuses are server-side applied by one field manager.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kidp_core::group::OPERATOR_FIELD_MANAGER;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use crate::cache::namespace_of;

/// Longest time that the API server gets for one answer; `kube` retries what is worth it within that time.
const API_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a write did not happen.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Decided on an old copy. Look again soon.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The object is gone. Nothing is left to do.
    #[error("the object is gone")]
    Gone,
    /// The API server did not answer in time. Try again with a back-off.
    #[error("the API server did not answer in time")]
    Timeout,
    /// What was to be written is no JSON. It cannot come about with the types that are used.
    #[error("cannot be written as JSON: {0}")]
    Unserialisable(String),
    /// The API server did not do it. Try again with a back-off.
    #[error("the API server refused or could not be reached: {0}")]
    Api(#[source] Box<kube::Error>),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            _ => Self::Api(Box::new(error)),
        }
    }
}

/// Waits for the API server's answer, not forever.
pub async fn timed<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match tokio::time::timeout(API_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(WriteError::Timeout),
    }
}

/// Kinds that are written here.
pub trait Written:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Written for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

fn api<K: Written>(client: &Client, object: &K) -> Api<K> {
    Api::namespaced(client.clone(), &namespace_of(object))
}

/// Makes `status` the object's status and gives the object as it is then.
pub async fn apply_status<K: Written, S: Serialize + Sync>(
    client: &Client,
    object: &K,
    status: &S,
) -> Result<K, WriteError> {
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": object.name_any(), "resourceVersion": object.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(OPERATOR_FIELD_MANAGER).force();
    let patch = Patch::Apply(&patch);
    timed(api(client, object).patch_status(&object.name_any(), &params, &patch)).await
}

/// Puts `finalizer` on the object and gives the object as it is then.
pub async fn add_finalizer<K: Written>(
    client: &Client,
    object: &K,
    finalizer: &str,
) -> Result<K, WriteError> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    set_finalizers(client, object, &finalizers).await
}

/// Takes `finalizer` off the object.
pub async fn remove_finalizer<K: Written>(
    client: &Client,
    object: &K,
    finalizer: &str,
) -> Result<(), WriteError> {
    let rest: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|f| *f != finalizer)
        .cloned()
        .collect();
    match set_finalizers(client, object, &rest).await {
        Ok(_) | Err(WriteError::Gone) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn set_finalizers<K: Written>(client: &Client, object: &K, all: &[String]) -> Result<K, WriteError> {
    let patch = json!({"metadata": {"finalizers": all, "resourceVersion": object.resource_version()}});
    let params = PatchParams {
        field_manager: Some(OPERATOR_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    timed(api(client, object).patch(&object.name_any(), &params, &Patch::Merge(&patch))).await
}

/// Kinds without a namespace that are written here.
pub trait WrittenWhole:
    Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> WrittenWhole for K where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

fn write_params() -> PostParams {
    PostParams {
        field_manager: Some(OPERATOR_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Creates the object; a conflict where one of its name is there.
pub async fn create<K: WrittenWhole>(client: &Client, object: &K) -> Result<K, WriteError> {
    timed(Api::<K>::all(client.clone()).create(&write_params(), object)).await
}

/// Replaces the object that has the version of `object`.
pub async fn replace<K: WrittenWhole>(client: &Client, object: &K) -> Result<K, WriteError> {
    timed(Api::<K>::all(client.clone()).replace(&object.name_any(), &write_params(), object)).await
}

/// Deletes the object that has the version of `object`.
pub async fn delete<K: WrittenWhole>(client: &Client, object: &K) -> Result<(), WriteError> {
    let params = DeleteParams::default().preconditions(Preconditions {
        resource_version: object.resource_version(),
        uid: object.uid(),
    });
    timed(Api::<K>::all(client.clone()).delete(&object.name_any(), &params))
        .await
        .map(drop)
}

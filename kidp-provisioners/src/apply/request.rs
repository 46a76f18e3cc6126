//! Requests to the API server: bounded in time, and named after the object that they are about.

use std::future::Future;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::Value;

use super::ApplyError;
use crate::instance::Instance;

/// The namespace of an instance.
pub(super) struct Cluster<'a> {
    client: &'a Client,
    namespace: &'a str,
    timeout: Duration,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(client: &'a Client, instance: &'a Instance, timeout: Duration) -> Self {
        Self {
            client,
            namespace: &instance.namespace,
            timeout,
        }
    }

    pub(super) fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), self.namespace, resource)
    }

    /// Awaits a request about `object`.
    pub(super) async fn request<T>(
        &self,
        object: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ApplyError> {
        get(object, self.namespace, self.timeout, request).await
    }

    /// Reads an object, if it is there.
    pub(super) async fn get(
        &self,
        resource: &ApiResource,
        name: &str,
    ) -> Result<Option<DynamicObject>, ApplyError> {
        let object = format!("{}/{name}", resource.kind);
        self.request(&object, self.api(resource).get_opt(name)).await
    }

    /// Merges `patch` into an object.
    pub(super) async fn merge(
        &self,
        resource: &ApiResource,
        name: &str,
        patch: &Value,
    ) -> Result<DynamicObject, ApplyError> {
        let object = format!("{}/{name}", resource.kind);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.request(&object, self.api(resource).patch(name, &params, &patch))
            .await
    }
}

/// Awaits a request about `object`, at most for `timeout`.
pub(crate) async fn get<T>(
    object: &str,
    namespace: &str,
    timeout: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, ApplyError> {
    match tokio::time::timeout(timeout, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_namespace_missing(&error) => Err(ApplyError::NamespaceMissing {
            namespace: namespace.to_owned(),
        }),
        Ok(Err(error)) if is_namespace_terminating(&error) => Err(ApplyError::NamespaceTerminating {
            namespace: namespace.to_owned(),
        }),
        Ok(Err(source)) => Err(ApplyError::Kube {
            object: object.to_owned(),
            source: Box::new(source),
        }),
        Err(_) => Err(ApplyError::Timeout {
            object: object.to_owned(),
            after: timeout,
        }),
    }
}

/// Whether a create found an object of that name.
pub(super) fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_already_exists())
}

/// Whether a write was refused because the object changed in between.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_conflict())
}

/// Whether the object is not there.
pub(super) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.is_not_found())
}

/// Whether what was asked for is not there, be it the object or its whole kind: an API server answers for a kind that it
/// does not have with a text, which has no reason that [`is_not_found`] could see.
pub(crate) fn is_404(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// [`is_404`] of a request that was made here.
pub(crate) fn is_absent(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Kube { source, .. } if is_404(source))
}

fn is_namespace_missing(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    status.is_not_found()
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces")
}

/// Whether a write was refused because its namespace is on its way out.
fn is_namespace_terminating(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.as_ref().map(|details| &details.causes);
    status.is_forbidden()
        && causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

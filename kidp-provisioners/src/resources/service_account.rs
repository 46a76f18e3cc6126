//! The ServiceAccount of an instance's pods: an identity without any right, so that a policy can name it.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::meta::{Scope, object_meta};

/// The ServiceAccount. Its token is not mounted: no engine talks to the API server.
pub fn service_account(scope: &Scope<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: object_meta(scope, scope.base.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

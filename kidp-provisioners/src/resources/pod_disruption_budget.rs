//! The `PodDisruptionBudget`, where one helps.
//!
//! A budget keeps a drain from taking a second member while the first is away. For a single member it can only
//! forbid every drain (`minAvailable: 1`, the node cannot be maintained) or none (no effect), so there is none.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{Scope, object_meta};

/// A budget of one member away at a time; none below two members.
pub fn pod_disruption_budget(scope: &Scope<'_>, replicas: i32) -> Option<PodDisruptionBudget> {
    (replicas > 1).then(|| PodDisruptionBudget {
        metadata: object_meta(scope, scope.base.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(scope.label_selector()),
            // A member that is not ready anyway must not block a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}

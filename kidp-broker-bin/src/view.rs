//! Records as clients see them. Pure.

use kidp_core::crd::{Phase, ServiceInstance, ServiceInstanceStatus};
use kidp_core::wire::{DeploymentStatus, HealthStatus, ResourceView};
use serde_json::Value;

use crate::record;

/// Whether the status speaks of the spec as it is now.
pub fn is_current(record: &ServiceInstance, status: &ServiceInstanceStatus) -> bool {
    status.observed_generation == record.metadata.generation
        && status.resource_generation == Some(record.spec.resource_generation)
}

/// Where the instance is in its life. A record without a current status is being worked on: that is said here
/// rather than written, which would cost a write for every instance.
pub fn phase(record: &ServiceInstance) -> Phase {
    if record::is_deleting(record) {
        return Phase::Deleting;
    }
    match &record.status {
        Some(status) if is_current(record, status) => status.phase,
        _ => Phase::Provisioning,
    }
}

/// Whether an instance of this phase serves its clients.
pub const fn is_usable(phase: Phase) -> bool {
    matches!(phase, Phase::Ready | Phase::DriftDetected)
}

/// The answer of `/v1/status`.
pub fn status(record: &ServiceInstance) -> DeploymentStatus {
    let spec = &record.spec;
    let status = record.status.clone().unwrap_or_default();
    let current = is_current(record, &status);
    DeploymentStatus {
        deployment_id: spec.deployment_id.clone(),
        resource_type: spec.resource_type,
        resource_name: spec.resource_name.clone(),
        namespace: record.metadata.namespace.clone().unwrap_or_default(),
        phase: phase(record),
        resource_generation: spec.resource_generation,
        observed_generation: status.resource_generation,
        changes: status
            .changes
            .filter(|changes| changes.generation == spec.resource_generation && !changes.is_empty()),
        spec: spec.instance.clone(),
        message: status.message.filter(|_| current),
        error: status.error.filter(|_| current),
        endpoint: status.endpoint,
        port: status.port,
        connection_secret: status.connection_secret_ref.map(|r| r.name),
    }
}

/// What was read from the cluster for a [`ResourceView`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// How well the instance does; judged by the record's phase where the cluster could not be read.
    pub health: Option<HealthStatus>,
    /// What the cluster holds.
    pub actual_spec: Value,
    /// What differs from what was applied, a line a field.
    pub drift: Vec<String>,
    /// What could not be compared, a line an object.
    pub unknown: Vec<String>,
}

/// An entry of `/v1/resources`.
pub fn resource(record: &ServiceInstance, live: Live) -> ResourceView {
    let status = status(record);
    ResourceView {
        deployment_id: status.deployment_id,
        resource_type: status.resource_type,
        resource_name: status.resource_name,
        namespace: status.namespace,
        team: record.spec.team.clone(),
        resource_uid: Some(record.spec.resource_uid.clone()).filter(|uid| !uid.is_empty()),
        requested_by: record.spec.requested_by.clone(),
        phase: status.phase,
        changes: status.changes,
        health_status: live.health.unwrap_or(health_of(status.phase)),
        actual_spec: live.actual_spec,
        desired_spec: status.spec,
        drift_detected: !live.drift.is_empty(),
        drift_details: live.drift,
        drift_unknown: live.unknown,
        resource_usage: None,
        estimated_monthly_cost: None,
        endpoint: status.endpoint,
        port: status.port,
        connection_secret: status.connection_secret,
    }
}

fn health_of(phase: Phase) -> HealthStatus {
    match phase {
        Phase::Ready => HealthStatus::Healthy,
        Phase::Failed => HealthStatus::Unhealthy,
        _ => HealthStatus::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    #[test]
    fn a_record_without_a_current_status_is_provisioning() {
        let mut record = record();
        assert_eq!(phase(&record), Phase::Provisioning);
        record.status = Some(ServiceInstanceStatus {
            phase: Phase::Ready,
            observed_generation: record.metadata.generation,
            resource_generation: Some(record.spec.resource_generation),
            message: Some("m".to_owned()),
            endpoint: Some("e".to_owned()),
            ..ServiceInstanceStatus::default()
        });
        assert_eq!(phase(&record), Phase::Ready);
        assert_eq!(
            resource(&record, Live::default()).health_status,
            HealthStatus::Healthy
        );
        record.metadata.generation = Some(99);
        let seen = status(&record);
        assert_eq!((seen.phase, seen.message), (Phase::Provisioning, None));
        assert_eq!(
            seen.endpoint.as_deref(),
            Some("e"),
            "still usable while it is changed"
        );
    }
}

//! The Prometheus Operator's kinds, as far as they are used.
//! <https://prometheus-operator.dev/docs/api-reference/api/>

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// API group and version.
pub const API_VERSION: &str = "monitoring.coreos.com/v1";

/// What is scraped behind Services.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    namespaced,
    schema = "disabled",
    doc = "Services whose endpoints a Prometheus scrapes."
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    /// The Services, of its own namespace.
    pub selector: LabelSelector,
    /// Their ports.
    pub endpoints: Vec<Endpoint>,
    /// Label of the Services whose value is the job's name.
    pub job_label: String,
}

/// What is scraped of pods.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    namespaced,
    schema = "disabled",
    doc = "Pods that a Prometheus scrapes."
)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// The pods, of its own namespace.
    pub selector: LabelSelector,
    /// Their ports.
    pub pod_metrics_endpoints: Vec<Endpoint>,
    /// Label of the pods whose value is the job's name.
    pub job_label: String,
}

/// A port, scraped at `/metrics`, as often as the Prometheus has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its name.
    pub port: String,
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;

    #[test]
    fn both_are_of_the_group_that_is_asked_for() {
        assert_eq!(ServiceMonitor::api_version(&()), API_VERSION);
        assert_eq!(PodMonitor::api_version(&()), API_VERSION);
    }
}

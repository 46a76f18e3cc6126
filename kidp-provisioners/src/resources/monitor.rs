//! What tells the Prometheus Operator where an instance's metrics are, and who may read them.
//!
//! ```text
//! members of a StatefulSet   ServiceMonitor <base>, by the port `metrics` of the headless Service
//! what has no such Service   PodMonitor <base>, by the port `metrics` of the pods
//! ```
//! The headless Service publishes members that are not ready too: those are the ones whose metrics are wanted most. A
//! `Cluster` of CloudNativePG has no such Service, and its own way to make a `PodMonitor` is deprecated in favour of one
//! made beside it
//! (<https://cloudnative-pg.io/docs/1.29/monitoring/>).

mod types;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kidp_core::labels;
use serde_json::Value;

use super::meta::{Scope, object_meta};
use super::service::Port;

pub use types::{API_VERSION, Endpoint, PodMonitor, PodMonitorSpec, ServiceMonitor, ServiceMonitorSpec};

/// Name of the port that serves metrics, of every engine's pods.
pub const METRICS: &str = "metrics";

/// Label that Kubernetes puts on every namespace.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name>
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The port that serves metrics, by its number.
pub const fn port(number: u16) -> Port {
    Port {
        name: METRICS,
        number,
        app_protocol: "http",
    }
}

/// Whether an instance serves metrics. A pod template that is kept as it was found has no port for them.
pub fn is_on(scope: &Scope<'_>) -> bool {
    scope.instance.spec.monitoring.enabled && scope.kept().is_none()
}

/// Whether there can be monitors of an instance at all, whatever its spec says now. Where neither holds, they are not
/// asked for: they need not be served, nor need there be a right to them.
pub fn is_possible(scope: &Scope<'_>) -> bool {
    scope.instance.features.prometheus_operator || scope.instance.spec.monitoring.enabled
}

/// By the headless Service; none where the Prometheus Operator is not installed.
pub fn of_service(scope: &Scope<'_>) -> Option<ServiceMonitor> {
    is_served(scope).then(|| ServiceMonitor {
        metadata: object_meta(scope, scope.base.clone()),
        spec: ServiceMonitorSpec {
            // Of the Services with these labels, the headless one has this port.
            selector: LabelSelector {
                match_labels: Some(scope.identity()),
                ..LabelSelector::default()
            },
            endpoints: vec![endpoint()],
            job_label: labels::INSTANCE.to_owned(),
        },
    })
}

/// By the pods; none where the Prometheus Operator is not installed.
pub fn of_pods(scope: &Scope<'_>) -> Option<PodMonitor> {
    is_served(scope).then(|| PodMonitor {
        metadata: object_meta(scope, scope.base.clone()),
        spec: PodMonitorSpec {
            selector: scope.label_selector(),
            pod_metrics_endpoints: vec![endpoint()],
            job_label: labels::INSTANCE.to_owned(),
        },
    })
}

fn is_served(scope: &Scope<'_>) -> bool {
    is_on(scope) && scope.instance.features.prometheus_operator
}

fn endpoint() -> Endpoint {
    Endpoint {
        port: METRICS.to_owned(),
    }
}

/// Adds to who may connect: every pod of the namespaces that are asked for, to the port of metrics alone.
#[must_use]
pub fn admit_scrapers(scope: &Scope<'_>, policy: NetworkPolicy, port: u16) -> NetworkPolicy {
    let names = scope.instance.spec.monitoring.scrapers();
    let namespaces = LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: NAMESPACE_NAME.to_owned(),
            operator: "In".to_owned(),
            values: Some(names.into_iter().map(ToOwned::to_owned).collect()),
        }]),
        ..LabelSelector::default()
    };
    let rule = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(namespaces),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(port))),
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }]),
    };
    let mut spec = policy.spec.unwrap_or_default();
    spec.ingress.get_or_insert_default().push(rule);
    NetworkPolicy {
        spec: Some(spec),
        ..policy
    }
}

/// Whether a NetworkPolicy, given as JSON, has the rule of [`admit_scrapers`].
pub fn admits_scrapers(policy: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&policy["spec"]["ingress"])
        .iter()
        .flat_map(|rule| list(&rule["from"]))
        .flat_map(|peer| list(&peer["namespaceSelector"]["matchExpressions"]))
        .any(|wanted| wanted["key"] == NAMESPACE_NAME)
}

//! Who may connect: pods of the same namespace that say so by label, and nobody else.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kidp_core::labels;

use super::meta::{Scope, object_meta};
use super::service::Port;

/// Admits pods labelled `platform.company.com/client-of: <base>` to the engine's ports.
///
/// Outgoing traffic is left alone: foreign data wrappers, hooks and members of a cluster need it. Whether a
/// policy is enforced is up to the cluster's network plugin.
pub fn clients_only(scope: &Scope<'_>, ports: &[Port]) -> NetworkPolicy {
    admits_clients(scope, scope.base.clone(), ports)
}

/// Admits them to further ports, such as one that a Service's port leads to under another number. `suffix` is the
/// policy's name.
pub fn clients(scope: &Scope<'_>, suffix: &str, ports: &[Port]) -> NetworkPolicy {
    admits_clients(scope, scope.name(suffix), ports)
}

fn admits_clients(scope: &Scope<'_>, name: String, ports: &[Port]) -> NetworkPolicy {
    let client = LabelSelector {
        match_labels: Some(labels::labels([(labels::CLIENT, &scope.base)])),
        ..LabelSelector::default()
    };
    let rule = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(client),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(ports.iter().map(port).collect()),
    };
    NetworkPolicy {
        metadata: object_meta(scope, name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(scope.label_selector()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![rule]),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// Admits the instance's pods to each other's ports, each range from its first to its last. Policies add up: clients
/// stay with what [`clients_only`] gives them.
pub fn members(scope: &Scope<'_>, ranges: &[(u16, u16)]) -> NetworkPolicy {
    let own = NetworkPolicyPeer {
        pod_selector: Some(scope.label_selector()),
        ..NetworkPolicyPeer::default()
    };
    between(scope, "members", own, ranges)
}

/// Admits pods of a label, in whatever namespace they are, to the instance's ports: an operator that runs the instance.
pub fn from_everywhere(
    scope: &Scope<'_>,
    suffix: &str,
    label: (&str, &str),
    ranges: &[(u16, u16)],
) -> NetworkPolicy {
    let labelled = LabelSelector {
        match_labels: Some(labels::labels([label])),
        ..LabelSelector::default()
    };
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(labelled),
        ..NetworkPolicyPeer::default()
    };
    between(scope, suffix, peer, ranges)
}

fn between(scope: &Scope<'_>, suffix: &str, peer: NetworkPolicyPeer, ranges: &[(u16, u16)]) -> NetworkPolicy {
    let rule = NetworkPolicyIngressRule {
        from: Some(vec![peer]),
        ports: Some(ranges.iter().copied().map(range).collect()),
    };
    NetworkPolicy {
        metadata: object_meta(scope, scope.name(suffix)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(scope.label_selector()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![rule]),
            ..NetworkPolicySpec::default()
        }),
    }
}

fn range((first, last): (u16, u16)) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(first))),
        end_port: (last > first).then(|| i32::from(last)),
        protocol: Some("TCP".to_owned()),
    }
}

fn port(port: &Port) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(port.number))),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}

//! Services: a headless one that names the members, and the one that clients use.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::meta::{Scope, object_meta};
use crate::provisioner::Connection;

/// A port of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Name, of the container port too.
    pub name: &'static str,
    /// Number.
    pub number: u16,
    /// IANA service name, for meshes and proxies that read `appProtocol`.
    pub app_protocol: &'static str,
}

/// The governing Service of the StatefulSet. It publishes members before they are ready, since they look for
/// each other in order to become so.
pub fn headless(scope: &Scope<'_>, ports: &[Port]) -> Service {
    Service {
        metadata: object_meta(scope, scope.name("headless")),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ..spec(scope, ports)
        }),
        ..Service::default()
    }
}

/// The Service that clients connect to; it leads to ready members only.
pub fn client(scope: &Scope<'_>, ports: &[Port]) -> Service {
    Service {
        metadata: object_meta(scope, scope.base.clone()),
        spec: Some(spec(scope, ports)),
        ..Service::default()
    }
}

/// Host name of the client Service inside the cluster. `.svc` without the cluster's domain: it resolves by the
/// pod's search list, and the domain is not ours to know.
pub fn host(scope: &Scope<'_>) -> String {
    host_of(scope, &scope.base)
}

/// Host name of a Service of the instance.
pub fn host_of(scope: &Scope<'_>, service: &str) -> String {
    format!("{service}.{}.svc", scope.instance.namespace)
}

/// Where clients of the client Service connect, with the Secret that has the rest.
pub fn connection(scope: &Scope<'_>, port: &Port) -> Connection {
    Connection {
        host: host(scope),
        port: port.number,
        secret: scope.secret(),
    }
}

fn spec(scope: &Scope<'_>, ports: &[Port]) -> ServiceSpec {
    ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: Some(scope.selector()),
        ports: Some(ports.iter().map(|of| port(scope, of)).collect()),
        ..ServiceSpec::default()
    }
}

fn port(scope: &Scope<'_>, port: &Port) -> ServicePort {
    // Pods that were taken over need not call their port by this name.
    let target = match scope.adopted() {
        Some(adopted) => IntOrString::Int(i32::from(adopted.port)),
        None => IntOrString::String(port.name.to_owned()),
    };
    ServicePort {
        name: Some(port.name.to_owned()),
        port: i32::from(port.number),
        target_port: Some(target),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(port.app_protocol.to_owned()),
        ..ServicePort::default()
    }
}

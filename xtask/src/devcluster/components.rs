//! The command lines of the cluster's components. Every socket is on the loopback or the node address, and every
//! port is fixed (see [`PORTS`]), so that `up` can refuse when one is taken.
use std::path::{Path, PathBuf};

use super::binaries::Binaries;
use super::daemon::Daemon;
use super::{NODE_IP, NODE_NAME, POD_CIDR, SERVICE_CIDR};
use crate::paths::Layout;

/// Every TCP port the cluster listens on.
pub const PORTS: [u16; 14] = [
    53, 2379, 2380, 6443, 8185, 8186, 9153, 10_010, 10_248, 10_249, 10_250, 10_256, 10_257, 10_259,
];

/// The API server's address.
pub const API_SERVER: &str = "https://172.30.0.1:6443";

/// The name of the component that minds the others.
pub const SUPERVISOR: &str = "supervisor";

const ETCD_URL: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";

fn daemon(name: &'static str, program: PathBuf, args: Vec<String>) -> Daemon {
    Daemon {
        name: name.into(),
        program,
        args,
    }
}

fn flag(name: &str, value: impl AsRef<Path>) -> String {
    format!("--{name}={}", value.as_ref().display())
}

/// Formats a list of `name=value` pairs as flags.
fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

/// The store. It may lose data at a power cut: the cluster is thrown away anyway.
pub fn etcd(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[
        ("name", "kidp"),
        ("listen-client-urls", ETCD_URL),
        ("advertise-client-urls", ETCD_URL),
        ("listen-peer-urls", ETCD_PEER),
        ("initial-advertise-peer-urls", ETCD_PEER),
        ("initial-cluster", "kidp=http://127.0.0.1:2380"),
        ("unsafe-no-fsync", "true"),
        ("log-level", "warn"),
    ]);
    args.push(flag("data-dir", layout.state.join("etcd")));
    daemon("etcd", bin.node.join("etcd"), args)
}

/// The API server. Pod Security admission is on by default; writes go to `logs/audit.log`.
pub fn apiserver(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[
        ("advertise-address", NODE_IP),
        ("bind-address", NODE_IP),
        ("secure-port", "6443"),
        ("etcd-servers", ETCD_URL),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-cluster-ip-range", SERVICE_CIDR),
        ("service-node-port-range", "30000-32767"),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("allow-privileged", "true"),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("audit-log-maxsize", "200"),
        ("audit-log-maxbackup", "1"),
        ("profiling", "false"),
    ]);
    let pki = |name: &str| layout.pki().join(name);
    args.extend([
        flag("client-ca-file", pki("ca.crt")),
        flag("tls-cert-file", pki("apiserver.crt")),
        flag("tls-private-key-file", pki("apiserver.key")),
        flag("service-account-key-file", pki("sa.pub")),
        flag("service-account-signing-key-file", pki("sa.key")),
        flag("kubelet-certificate-authority", pki("ca.crt")),
        flag("kubelet-client-certificate", pki("apiserver-kubelet-client.crt")),
        flag("kubelet-client-key", pki("apiserver-kubelet-client.key")),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("proxy-client-cert-file", pki("front-proxy-client.crt")),
        flag("proxy-client-key-file", pki("front-proxy-client.key")),
        flag("audit-policy-file", layout.conf().join("audit-policy.yaml")),
        flag("audit-log-path", layout.logs().join("audit.log")),
    ]);
    daemon("kube-apiserver", bin.control_plane.join("kube-apiserver"), args)
}

/// The controllers.
pub fn controller_manager(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[
        ("bind-address", "127.0.0.1"),
        ("secure-port", "10257"),
        ("leader-elect", "false"),
        ("use-service-account-credentials", "true"),
        ("kube-api-qps", "100"),
        ("kube-api-burst", "200"),
        ("profiling", "false"),
    ]);
    let pki = |name: &str| layout.pki().join(name);
    args.extend([
        flag("root-ca-file", pki("ca.crt")),
        flag("client-ca-file", pki("ca.crt")),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("service-account-private-key-file", pki("sa.key")),
        flag("cluster-signing-cert-file", pki("ca.crt")),
        flag("cluster-signing-key-file", pki("ca.key")),
    ]);
    args.extend(kubeconfigs(layout, "kube-controller-manager"));
    daemon(
        "kube-controller-manager",
        bin.control_plane.join("kube-controller-manager"),
        args,
    )
}

/// The scheduler.
pub fn scheduler(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[
        ("bind-address", "127.0.0.1"),
        ("secure-port", "10259"),
        ("leader-elect", "false"),
        ("profiling", "false"),
    ]);
    args.extend(kubeconfigs(layout, "kube-scheduler"));
    daemon("kube-scheduler", bin.control_plane.join("kube-scheduler"), args)
}

fn kubeconfigs(layout: &Layout, component: &str) -> [String; 3] {
    let file = layout.component_kubeconfig(component);
    [
        flag("kubeconfig", &file),
        flag("authentication-kubeconfig", &file),
        flag("authorization-kubeconfig", &file),
    ]
}

/// The container runtime.
pub fn containerd(layout: &Layout, bin: &Binaries) -> Daemon {
    let args = vec![
        "--config".into(),
        layout.conf().join("containerd.toml").display().to_string(),
    ];
    daemon("containerd", bin.node.join("containerd"), args)
}

/// The node agent. It must start only after containerd answers.
pub fn kubelet(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[("hostname-override", NODE_NAME), ("node-ip", NODE_IP)]);
    args.extend([
        flag("config", layout.conf().join("kubelet.yaml")),
        flag("kubeconfig", layout.component_kubeconfig("kubelet")),
        flag("root-dir", layout.state.join("kubelet")),
        flag("cert-dir", layout.pki()),
    ]);
    daemon("kubelet", bin.control_plane.join("kubelet"), args)
}

/// The service proxy. The conntrack settings of the machine stay as they are.
pub fn kube_proxy(layout: &Layout, bin: &Binaries) -> Daemon {
    let mut args = flags(&[
        ("proxy-mode", "iptables"),
        ("cluster-cidr", POD_CIDR),
        ("hostname-override", NODE_NAME),
        ("healthz-bind-address", "127.0.0.1:10256"),
        ("metrics-bind-address", "127.0.0.1:10249"),
        ("nodeport-addresses", "172.30.0.1/32"),
        ("iptables-localhost-nodeports", "false"),
        ("conntrack-max-per-core", "0"),
        ("conntrack-tcp-timeout-established", "0"),
        ("conntrack-tcp-timeout-close-wait", "0"),
        ("oom-score-adj", "0"),
    ]);
    args.push(flag("kubeconfig", layout.component_kubeconfig("kube-proxy")));
    daemon("kube-proxy", bin.control_plane.join("kube-proxy"), args)
}

/// Cluster names.
pub fn coredns(layout: &Layout, bin: &Binaries) -> Daemon {
    let args = vec![
        "-conf".into(),
        layout.conf().join("Corefile").display().to_string(),
    ];
    daemon("coredns", bin.dns.join("coredns"), args)
}

/// Answers claims of the class `kidp-dev`; a copy of this program.
pub fn storage_provisioner(layout: &Layout) -> Daemon {
    let mut args = vec!["storage-provisioner".into()];
    args.push(flag(
        "kubeconfig",
        layout.component_kubeconfig("storage-provisioner"),
    ));
    args.push(flag("volumes", layout.volumes()));
    daemon("storage-provisioner", layout.state.join("bin/xtask"), args)
}

/// What starts the others again when they end.
pub fn supervisor(layout: &Layout) -> Daemon {
    let args = vec!["supervise".into(), flag("state", &layout.state)];
    daemon(SUPERVISOR, layout.state.join("bin/xtask"), args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Daemon> {
        let layout = Layout {
            state: "/state".into(),
            cache: "/cache".into(),
        };
        let folder = PathBuf::from("/bin");
        let bin = Binaries {
            control_plane: folder.clone(),
            node: folder.clone(),
            dns: folder,
        };
        vec![
            etcd(&layout, &bin),
            apiserver(&layout, &bin),
            controller_manager(&layout, &bin),
            scheduler(&layout, &bin),
            containerd(&layout, &bin),
            kubelet(&layout, &bin),
            kube_proxy(&layout, &bin),
            coredns(&layout, &bin),
            storage_provisioner(&layout),
            supervisor(&layout),
        ]
    }

    #[test]
    fn nothing_listens_on_every_address() {
        for daemon in all() {
            assert!(
                !daemon
                    .args
                    .iter()
                    .any(|a| a.contains("0.0.0.0") || a.contains("[::]")),
                "{daemon:?}"
            );
        }
    }

    #[test]
    fn names_are_distinct_since_they_name_files() {
        let names: std::collections::BTreeSet<_> = all().into_iter().map(|d| d.name).collect();
        assert_eq!(names.len(), all().len());
    }
}

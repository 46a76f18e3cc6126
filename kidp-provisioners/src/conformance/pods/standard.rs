//! The `restricted` Pod Security Standard as a function, so that it is checked without a cluster.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>, with the controls of `baseline`
//! that it includes, as the admission plugin of Kubernetes 1.36 has them
//! (<https://github.com/kubernetes/pod-security-admission/tree/v0.36.0/policy>). Its exceptions for Windows and for
//! user namespaces are not made.

use serde_json::{Value, json};

use crate::conformance::objects::{containers, items, text};

/// Volumes that are allowed (`restrictedVolumes`).
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Kernel settings that are a pod's own (`sysctls`).
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// `seLinuxOptions`.
const SELINUX_TYPES: [&str; 5] = [
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What a pod breaks, given its metadata and its spec as JSON; each names the field.
pub fn pod_violations(metadata: &Value, pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        require(&mut found, pod[field] != json!(true), || {
            format!("{field} is forbidden")
        });
    }
    for volume in items(&pod["volumes"]) {
        let kinds = volume.as_object().into_iter().flatten().map(|(key, _)| key);
        for kind in kinds.filter(|kind| *kind != "name") {
            require(&mut found, VOLUMES.contains(&kind.as_str()), || {
                format!("a {kind} volume is forbidden")
            });
        }
    }
    for sysctl in items(&pod["securityContext"]["sysctls"]) {
        let name = text(sysctl, "/name");
        require(&mut found, SYSCTLS.contains(&name), || {
            format!("the sysctl {name} is forbidden")
        });
    }
    let annotations = metadata["annotations"].as_object().into_iter().flatten();
    for (key, value) in annotations.filter(|(key, _)| key.starts_with(APPARMOR_ANNOTATION)) {
        let profile = value.as_str().unwrap_or_default();
        let allowed = profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
        require(&mut found, allowed, || format!("{key}: {profile} is forbidden"));
    }
    context(&mut found, "the pod", &pod["securityContext"]);
    for (list, container) in containers(pod) {
        let name = format!("{list} `{}`", text(container, "/name"));
        let own = &container["securityContext"];
        context(&mut found, &name, own);
        confinement(&mut found, &name, &pod["securityContext"], own);
        host(&mut found, &name, container);
    }
    found
}

fn require(found: &mut Vec<String>, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        found.push(what());
    }
}

/// What neither a pod nor a container may say.
fn context(found: &mut Vec<String>, whose: &str, context: &Value) {
    let app_armor = context["appArmorProfile"]["type"].as_str();
    let allowed = app_armor.is_none_or(|kind| ["RuntimeDefault", "Localhost"].contains(&kind));
    require(found, allowed, || {
        format!("{whose}: appArmorProfile is forbidden")
    });
    let options = &context["seLinuxOptions"];
    let allowed = SELINUX_TYPES.contains(&text(options, "/type"))
        && text(options, "/user").is_empty()
        && text(options, "/role").is_empty();
    require(found, allowed, || {
        format!("{whose}: seLinuxOptions are forbidden")
    });
    let process = &context["windowsOptions"]["hostProcess"];
    require(found, *process != json!(true), || {
        format!("{whose}: hostProcess is forbidden")
    });
    require(found, context["runAsUser"] != json!(0), || {
        format!("{whose}: runAsUser 0 is forbidden")
    });
    require(found, context["runAsNonRoot"] != json!(false), || {
        format!("{whose}: runAsNonRoot must not be false")
    });
    let seccomp = context["seccompProfile"]["type"].as_str();
    let allowed = seccomp.is_none_or(|kind| ["RuntimeDefault", "Localhost"].contains(&kind));
    require(found, allowed, || {
        format!("{whose}: seccompProfile must be RuntimeDefault or Localhost")
    });
}

/// What a container has to say, or its pod for it.
fn confinement(found: &mut Vec<String>, name: &str, pod: &Value, own: &Value) {
    let either = |field: &str| {
        if own[field].is_null() {
            &pod[field]
        } else {
            &own[field]
        }
    };
    require(found, own["privileged"] != json!(true), || {
        format!("{name}: privileged is forbidden")
    });
    require(found, own["allowPrivilegeEscalation"] == json!(false), || {
        format!("{name}: allowPrivilegeEscalation must be false")
    });
    require(found, !either("runAsNonRoot").is_null(), || {
        format!("{name}: runAsNonRoot must be true")
    });
    require(found, !either("seccompProfile").is_null(), || {
        format!("{name}: seccompProfile must be set")
    });
    let drops_all = items(&own["capabilities"]["drop"]).any(|c| c == "ALL");
    require(found, drops_all, || {
        format!("{name}: capabilities.drop must have ALL")
    });
    let adds = items(&own["capabilities"]["add"]).all(|c| c == "NET_BIND_SERVICE");
    require(found, adds, || {
        format!("{name}: capabilities.add may have NET_BIND_SERVICE alone")
    });
    let mount = own["procMount"].as_str().unwrap_or("Default");
    require(found, mount == "Default", || {
        format!("{name}: procMount must be Default")
    });
}

/// Ports and addresses of the node.
fn host(found: &mut Vec<String>, name: &str, container: &Value) {
    let ports = items(&container["ports"]).all(|port| port["hostPort"].as_u64().unwrap_or_default() == 0);
    require(found, ports, || format!("{name}: hostPort is forbidden"));
    let handlers = [
        &container["livenessProbe"],
        &container["readinessProbe"],
        &container["startupProbe"],
        &container["lifecycle"]["postStart"],
        &container["lifecycle"]["preStop"],
    ];
    let elsewhere = handlers.into_iter().any(|handler| {
        !text(handler, "/httpGet/host").is_empty() || !text(handler, "/tcpSocket/host").is_empty()
    });
    require(found, !elsewhere, || {
        format!("{name}: a probe or hook names a host, which is forbidden")
    });
}

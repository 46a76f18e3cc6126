//! The `restricted` Pod Security Standard as a function, so that it is checked without a cluster.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>, with the controls of
//! `baseline` that it includes.

use serde_json::{Value, json};

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Every control that a pod spec breaks.
pub fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut require = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        require(pod[field] != json!(true), field.to_owned());
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|k| *k != "name");
        for kind in kinds {
            require(VOLUMES.contains(&kind.as_str()), format!("volume {kind}"));
        }
    }
    let pod_context = &pod["securityContext"];
    require(pod_context["sysctls"].is_null(), "sysctls".to_owned());
    let containers = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| pod[list].as_array().into_iter().flatten());
    for container in containers {
        let name = &container["name"];
        let own = &container["securityContext"];
        // A container's own field wins over the pod's.
        let effective = |field: &str| {
            if own[field].is_null() {
                &pod_context[field]
            } else {
                &own[field]
            }
        };
        require(own["privileged"] != json!(true), format!("{name} privileged"));
        require(
            own["allowPrivilegeEscalation"] == json!(false),
            format!("{name} allowPrivilegeEscalation"),
        );
        require(
            effective("runAsNonRoot") == &json!(true),
            format!("{name} runAsNonRoot"),
        );
        require(effective("runAsUser") != &json!(0), format!("{name} runAsUser"));
        let seccomp = effective("seccompProfile")["type"].as_str().unwrap_or_default();
        require(
            ["RuntimeDefault", "Localhost"].contains(&seccomp),
            format!("{name} seccompProfile"),
        );
        require(
            own["capabilities"]["drop"] == json!(["ALL"]),
            format!("{name} capabilities.drop"),
        );
        let added = own["capabilities"]["add"].as_array().cloned().unwrap_or_default();
        require(
            added.iter().all(|c| c == "NET_BIND_SERVICE"),
            format!("{name} capabilities.add"),
        );
        for port in container["ports"].as_array().into_iter().flatten() {
            require(port["hostPort"].is_null(), format!("{name} hostPort"));
        }
        require(
            own["procMount"].is_null() || own["procMount"] == "Default",
            format!("{name} procMount"),
        );
    }
    found
}

/// What KIDP promises beyond the standard.
pub fn beyond(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if pod["automountServiceAccountToken"] != json!(false) {
        found.push("automountServiceAccountToken".to_owned());
    }
    if pod["enableServiceLinks"] != json!(false) {
        found.push("enableServiceLinks".to_owned());
    }
    let containers = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod[list].as_array().into_iter().flatten());
    for container in containers {
        if container["securityContext"]["readOnlyRootFilesystem"] != json!(true) {
            found.push("readOnlyRootFilesystem".to_owned());
        }
        let resources = &container["resources"];
        if resources["limits"]["memory"].is_null() || resources["requests"]["memory"].is_null() {
            found.push("memory limit and request".to_owned());
        }
    }
    found
}

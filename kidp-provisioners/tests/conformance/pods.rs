//! Faults of pods: what they may do, and what they get.

use kidp_provisioners::conformance::{self, Check};
use serde_json::{Value, json};

use crate::breaks;
use crate::broken::{Fault, container, of, pod, set};

/// What is put where in a good pod, and what is said then.
const POD_FAULTS: &str = r#"
/spec/hostNetwork | true | hostNetwork
/spec/hostPID | true | hostPID
/spec/hostIPC | true | hostIPC
/spec/volumes/0 | {"name": "v", "hostPath": {"path": "/"}} | hostPath
/spec/volumes/0 | {"name": "v", "nfs": {"server": "x", "path": "/"}} | nfs
/spec/volumes/0 | {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}} | account token
/spec/shareProcessNamespace | true | shareProcessNamespace
/spec/securityContext/sysctls | [{"name": "kernel.msgmax", "value": "1"}] | kernel.msgmax
/spec/securityContext/runAsUser | 0 | the pod: runAsUser
/spec/securityContext/runAsNonRoot | false | the pod: runAsNonRoot
/spec/securityContext/runAsNonRoot | null | containers `a`: runAsNonRoot
/spec/securityContext/seccompProfile | {"type": "Unconfined"} | the pod: seccompProfile
/spec/securityContext/seccompProfile | null | containers `a`: seccompProfile
/spec/securityContext/appArmorProfile | {"type": "Unconfined"} | appArmorProfile
/spec/securityContext/seLinuxOptions | {"type": "spc_t"} | seLinuxOptions
/spec/securityContext/seLinuxOptions | {"user": "root"} | seLinuxOptions
/spec/securityContext/windowsOptions | {"hostProcess": true} | hostProcess
/spec/securityContext/fsGroup | 0 | fsGroup 0
/metadata/annotations/container.apparmor.security.beta.kubernetes.io~1a | "unconfined" | apparmor
/spec/containers/0/securityContext/privileged | true | privileged
/spec/containers/0/securityContext/allowPrivilegeEscalation | null | allowPrivilegeEscalation
/spec/containers/0/securityContext/runAsNonRoot | false | containers `a`: runAsNonRoot
/spec/containers/0/securityContext/runAsUser | 0 | containers `a`: runAsUser
/spec/containers/0/securityContext/runAsGroup | 0 | containers `a`: runAsGroup
/spec/containers/0/securityContext/capabilities/drop | ["NET_RAW"] | capabilities.drop
/spec/containers/0/securityContext/capabilities/add | ["SYS_ADMIN"] | capabilities.add
/spec/containers/0/securityContext/procMount | "Unmasked" | procMount
/spec/containers/0/securityContext/readOnlyRootFilesystem | false | readOnlyRootFilesystem
/spec/containers/0/ports | [{"containerPort": 1, "hostPort": 1}] | hostPort
/spec/containers/0/livenessProbe | {"tcpSocket": {"port": 1, "host": "1.1.1.1"}} | names a host
/spec/containers/0/lifecycle | {"preStop": {"httpGet": {"port": 1, "host": "x"}}} | names a host
/spec/initContainers/0/securityContext | {} | initContainers `i`: capabilities.drop
/spec/ephemeralContainers | [{"name": "e"}] | ephemeralContainers `e`: allowPrivilegeEscalation
/spec/automountServiceAccountToken | null | automountServiceAccountToken
/spec/enableServiceLinks | true | enableServiceLinks"#;

/// Every control of the standard, and every promise, broken by itself.
#[test]
fn every_control_of_a_pod_is_noticed() {
    let context = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}
    });
    let good = json!({"metadata": {"annotations": {}}, "spec": {
        "automountServiceAccountToken": false, "enableServiceLinks": false,
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [{"name": "i", "securityContext": context}],
        "containers": [{"name": "a", "securityContext": context}],
    }});
    let all = |pod: &Value| {
        let mut found = conformance::pod_violations(&pod["metadata"], &pod["spec"]);
        found.extend(conformance::promise_violations(&pod["spec"]));
        found
    };
    assert_eq!(all(&good), [""; 0]);
    for line in POD_FAULTS.trim().lines() {
        let [path, value, words] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let mut pod = good.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        match field.parse::<usize>() {
            Ok(index) => parent[index] = value,
            Err(_) => parent[field.replace("~1", "/")] = value,
        }
        let found = all(&pod);
        assert!(found.iter().any(|f| f.contains(words)), "{line}: {found:?}");
    }
}

#[test]
fn pods_notice() {
    let cases: [(&str, Fault); 4] = [
        (
            "a hostPath volume is forbidden",
            Fault::Objects(|o, _, _| {
                pod(o)["volumes"][0] = json!({"name": "config", "hostPath": {"path": "/"}});
            }),
        ),
        (
            "readOnlyRootFilesystem must be true",
            Fault::Objects(|o, _, _| {
                container(o)["securityContext"]["readOnlyRootFilesystem"] = json!(false);
            }),
        ),
        (
            "no NetworkPolicy for incoming traffic",
            Fault::Objects(|o, _, _| o.retain(|o| o["kind"] != "NetworkPolicy")),
        ),
        (
            "admits pods that are not labelled",
            Fault::Objects(|o, _, _| {
                of(o, "NetworkPolicy")["spec"]["ingress"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("from");
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Pods, words, fault);
    }
}

#[test]
fn sizing_notices() {
    let cases: [(&str, Fault); 6] = [
        (
            "are not those of size medium",
            Fault::Objects(|o, _, _| {
                container(o)["resources"]["limits"]["memory"] = json!("2Gi");
            }),
        ),
        (
            "needs a memory limit",
            Fault::Objects(|o, _, _| {
                let mut helper = container(o).clone();
                helper["name"] = json!("helper");
                helper["resources"]["limits"]
                    .as_object_mut()
                    .unwrap()
                    .remove("memory");
                pod(o)["initContainers"] = json!([helper]);
            }),
        ),
        (
            "and a request within it",
            Fault::Objects(|o, _, _| {
                container(o)["resources"]["requests"]["cpu"] = json!("100");
            }),
        ),
        (
            "its volume does not have the size",
            Fault::Objects(|o, _, _| {
                set(o)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] =
                    json!("3Gi");
            }),
        ),
        (
            "its volume does not have the storage class",
            Fault::Objects(|o, _, _| {
                set(o)["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!("slow");
            }),
        ),
        (
            "there is no StatefulSet of the base name",
            Fault::Objects(|o, _, _| {
                let name = set(o)["metadata"]["name"].as_str().unwrap().to_owned();
                set(o)["metadata"]["name"] = json!(format!("{name}-server"));
            }),
        ),
    ];
    for (words, fault) in cases {
        breaks(Check::Sizing, words, fault);
    }
}

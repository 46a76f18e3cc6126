//! Lists, maps, quantities and defaults, with the schema and without.

use serde_json::{Value, json};

use super::paths;
use crate::diff;

fn set(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "n"}, "spec": spec})
}

fn pod(spec: &Value) -> Value {
    set(json!({"template": {"spec": spec}}))
}

/// Paths below `spec.template.spec`.
fn in_pod(desired: &Value, live: &Value) -> Vec<String> {
    paths(&pod(desired), &pod(live))
        .into_iter()
        .map(|path| path.trim_start_matches("spec.template.spec.").to_owned())
        .collect()
}

fn policy(spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": spec})
}

#[test]
fn defaults_and_other_owners_are_no_difference() {
    let desired = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}], "x": {}}});
    let live = json!({"spec": {"containers": [
        {"name": "sidecar"},
        {"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}], "imagePullPolicy": "Always"}
    ]}, "status": {}});
    assert_eq!(paths(&desired, &live), [""; 0]);
    let in_spec = |object: &Value| object["spec"].clone();
    assert_eq!(in_pod(&in_spec(&desired), &in_spec(&live)), [""; 0]);
}

#[test]
fn quantities_and_int_or_string_are_compared_by_meaning() {
    let desired = json!({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}, "targetPort": "80"});
    let live = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "targetPort": 80});
    assert_eq!(paths(&desired, &live), [""; 0]);
    let text = json!({"data": {"limits": {"a": "1Gi"}}});
    let other = json!({"data": {"limits": {"a": "1024Mi"}}});
    assert_eq!(paths(&text, &other), ["data.limits.a"]);
}

#[test]
fn only_what_the_schema_says_is_a_quantity() {
    let labels = |value: &str| set(json!({"template": {"metadata": {"labels": {"limits": value}}}}));
    assert_eq!(
        paths(&labels("1000m"), &labels("1")),
        ["spec.template.metadata.labels.limits"]
    );
    let data = |value: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"a": value}});
    assert_eq!(paths(&data(json!("80")), &data(json!(80))), ["data.a"]);
    let claim = |size: &str| {
        set(json!({"volumeClaimTemplates": [{"spec": {"resources": {"requests": {"storage": size}}}}]}))
    };
    assert_eq!(paths(&claim("1024Mi"), &claim("1Gi")), [""; 0]);
    assert_eq!(
        paths(&claim("1Gi"), &claim("2Gi")),
        ["spec.volumeClaimTemplates[0].spec.resources.requests.storage"]
    );
}

#[test]
fn a_removed_item_and_a_longer_ordered_list_are_reported_once() {
    let desired = json!({"env": [{"name": "A", "value": "1"}], "args": ["x"], "automount": false});
    let live = json!({"env": [], "args": ["x", "y"]});
    assert_eq!(paths(&desired, &live), ["args", "automount", "env[name=A]"]);
}

#[test]
fn keyed_items_are_found_at_any_place() {
    let desired = json!({
        "containers": [{"name": "a",
            "volumeMounts": [{"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v"}],
            "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]}],
        "topologySpreadConstraints": [
            {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1},
            {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 2}],
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}]
    });
    let live = json!({
        "containers": [{"name": "injected"}, {"name": "a",
            "volumeMounts": [{"mountPath": "/token", "name": "t"}, {"mountPath": "/b", "name": "w"}, {"mountPath": "/a", "name": "v"}],
            "ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]}],
        "topologySpreadConstraints": [
            {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 2},
            {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 5}],
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a", "b"]}]
    });
    assert_eq!(
        in_pod(&desired, &live),
        [
            "containers[name=a].volumeMounts[mountPath=/b].name",
            "hostAliases[ip=127.0.0.1].hostnames",
            "topologySpreadConstraints[topologyKey=zone,whenUnsatisfiable=DoNotSchedule].maxSkew",
        ]
    );
}

#[test]
fn items_with_the_same_key_are_paired_in_order() {
    let env = |values: &[&str]| {
        let env: Vec<_> = values.iter().map(|v| json!({"name": "A", "value": v})).collect();
        json!({"containers": [{"name": "a", "env": env}]})
    };
    assert_eq!(in_pod(&env(&["1", "2"]), &env(&["1", "2"])), [""; 0]);
    assert_eq!(
        in_pod(&env(&["1", "2"]), &env(&["1", "3"])),
        ["containers[name=a].env[name=A#2].value"]
    );
    assert_eq!(
        in_pod(&env(&["1", "2"]), &env(&["1"])),
        ["containers[name=a].env[name=A#2]"]
    );
}

#[test]
fn sets_have_no_order_and_others_may_add() {
    let finalizers = |list: &[&str]| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "n", "finalizers": list}});
    assert_eq!(
        paths(&finalizers(&["a/1", "b/2"]), &finalizers(&["c/3", "b/2", "a/1"])),
        [""; 0]
    );
    assert_eq!(
        paths(&finalizers(&["a/1", "b/2"]), &finalizers(&["b/2"])),
        ["metadata.finalizers[=a/1]"]
    );
}

#[test]
fn lists_that_are_one_value_have_an_order() {
    let one = json!({"containers": [{"name": "a", "command": ["sh", "-c"]}], "tolerations": [{"key": "a"}]});
    let other = json!({"containers": [{"name": "a", "command": ["-c", "sh"]}],
        "tolerations": [{"key": "a"}, {"key": "node.kubernetes.io/not-ready"}]});
    assert_eq!(
        in_pod(&one, &other),
        [
            "containers[name=a].command[0]",
            "containers[name=a].command[1]",
            "tolerations"
        ]
    );
}

#[test]
fn a_network_policy_is_compared_rule_by_rule() {
    let desired = policy(
        json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}],
        "ports": [{"port": 5432}]}]}),
    );
    let live = policy(
        json!({"ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}],
        "ports": [{"port": 5432, "protocol": "TCP"}]}], "policyTypes": ["Ingress"]}),
    );
    assert_eq!(paths(&desired, &live), [""; 0]);
    let mut wider = live.clone();
    wider["spec"]["ingress"][0]["from"][0] =
        json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}});
    assert_eq!(
        paths(&wider, &live),
        ["spec.ingress[0].from[0].namespaceSelector"]
    );
    let mut narrower = live.clone();
    narrower["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["c"] = json!("d");
    assert_eq!(
        paths(&desired, &narrower),
        ["spec.ingress[0].from[0].podSelector.matchLabels"]
    );
}

#[test]
fn a_map_that_is_one_value_has_no_keys_of_others() {
    let service = |selector: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "n"}, "spec": {"selector": selector}});
    assert_eq!(
        paths(&service(json!({"a": "b"})), &service(json!({"a": "b", "c": "d"}))),
        ["spec.selector"]
    );
    let labels = |labels: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "n", "labels": labels}});
    assert_eq!(
        paths(&labels(json!({"a": "b"})), &labels(json!({"a": "b", "c": "d"}))),
        [""; 0]
    );
}

#[test]
fn defaults_within_a_single_value_are_no_difference() {
    let desired = json!({"containers": [{"name": "a", "env": [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}]});
    let live = json!({"containers": [{"name": "a", "env": [
        {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}]}]});
    assert_eq!(in_pod(&desired, &live), [""; 0]);
    let claims = |claim: Value| set(json!({"volumeClaimTemplates": [claim]}));
    let desired = claims(json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}));
    let live = claims(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "creationTimestamp": null},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
    );
    assert_eq!(paths(&desired, &live), [""; 0]);
}

#[test]
fn an_empty_volume_is_a_kind_of_volume() {
    let desired = json!({"volumes": [{"name": "tmp", "emptyDir": {}}]});
    let live = json!({"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]});
    assert_eq!(in_pod(&desired, &live), ["volumes[name=tmp].emptyDir"]);
}

#[test]
fn what_the_server_writes_is_not_compared() {
    let object = |version: &str, status: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "status": status, "metadata":
        {"name": "n", "resourceVersion": version, "uid": version, "generation": version, "creationTimestamp": version,
         "managedFields": [{"manager": version}]}})
    };
    assert_eq!(
        paths(&object("1", json!({"a": 1})), &object("2", json!({"a": 2}))),
        [""; 0]
    );
}

#[test]
fn whole_numbers_are_compared_exactly() {
    let replicas = |n: Value| set(json!({"replicas": n}));
    assert_eq!(paths(&replicas(json!(1)), &replicas(json!(1.0))), [""; 0]);
    let large = 1_u64 << 53;
    assert_eq!(
        paths(&replicas(json!(large)), &replicas(json!(large + 1))),
        ["spec.replicas"]
    );
}

#[test]
fn a_secret_is_compared_and_not_shown() {
    let secret = |password: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": password}, "labels": {"l": password}},
        "data": {"password": password}, "type": password})
    };
    let changes = diff(&secret("aaaa"), &secret("bbbb"));
    let hidden: Vec<_> = changes
        .iter()
        .map(|c| (c.path.as_str(), c.before == "(hidden)" && c.after == "(hidden)"))
        .collect();
    assert_eq!(
        hidden,
        [
            ("data.password", true),
            (
                "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
                true
            ),
            ("metadata.labels.l", false),
            ("type", false),
        ]
    );
}

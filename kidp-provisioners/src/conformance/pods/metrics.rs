//! Metrics are served where they are asked for, and nowhere else.

use serde_json::Value;

use crate::conformance::objects::{Notes, clusters, containers, items, templates, text};
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::resources::monitor::{self, METRICS};

/// What a pod, given as JSON, has of metrics that it should not have: the port twice, or a container beside the engine,
/// which comes first, that the pod's readiness waits for.
pub fn metrics_violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let ports = || containers(pod).filter(|(_, container)| serves(container));
    if ports().count() > 1 {
        found.push(format!("more than one container has a port `{METRICS}`"));
    }
    for (list, container) in ports().filter(|(_, container)| **container != pod["containers"][0]) {
        if !container["readinessProbe"].is_null() {
            let name = text(container, "/name");
            found.push(format!(
                "{list} `{name}`: its readinessProbe takes the engine out of its Service"
            ));
        }
    }
    found
}

/// Pods have the port where metrics are asked for, if that is not refused. Members of a `Cluster` always have it.
pub(super) fn served(
    instance: &Instance,
    manifests: &Manifests<Prepared>,
    is_accepted: bool,
    notes: &mut Notes,
) {
    let wanted = instance.spec.monitoring.enabled;
    let pods = templates(manifests);
    let has_port = pods
        .iter()
        .any(|pod| containers(pod.spec).any(|(_, c)| serves(c)));
    let is_delegated = clusters(manifests).next().is_some();
    notes.require(
        !wanted || !is_accepted || has_port || is_delegated,
        instance,
        "",
        || format!("takes spec.monitoring.enabled, and no container has a port `{METRICS}`"),
    );
    notes.require(wanted || !has_port, instance, "", || {
        format!("has a port `{METRICS}`, which nobody asked for")
    });
    let mut objects = manifests.objects().iter();
    let opened = objects.any(|o| o.kind() == "NetworkPolicy" && monitor::admits_scrapers(o.json()));
    notes.require(
        opened == (has_port || (wanted && is_delegated)),
        instance,
        "",
        || "its NetworkPolicy and its pods do not agree on whether there are metrics".to_owned(),
    );
    let is_monitor = |kind: &str| kind == "ServiceMonitor" || kind == "PodMonitor";
    let monitors = manifests
        .objects()
        .iter()
        .filter(|o| is_monitor(o.kind()))
        .count();
    let expected = usize::from(opened && instance.features.prometheus_operator);
    notes.require(monitors == expected, instance, "", || {
        format!("has {monitors} objects that tell of its metrics, and not {expected}")
    });
}

/// Whether a peer of a NetworkPolicy is the namespaces that metrics are read from.
pub(super) fn is_scraper(instance: &Instance, peer: &Value) -> bool {
    let expressions = &peer["namespaceSelector"]["matchExpressions"];
    let named = instance.spec.monitoring.scrapers();
    instance.spec.monitoring.enabled
        && items(expressions).count() == 1
        && items(expressions).all(|e| e["operator"] == "In" && items(&e["values"]).eq(named.iter()))
}

fn serves(container: &Value) -> bool {
    items(&container["ports"]).any(|port| port["name"] == METRICS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exporter_does_not_gate_its_engine() {
        let port = json!([{"name": "metrics", "containerPort": 1}]);
        let with = |beside: Value| json!({"containers": [{"name": "engine"}, beside]});
        let good = with(json!({"name": "exporter", "ports": port}));
        assert_eq!(metrics_violations(&good), [""; 0]);
        let gates = with(json!({"name": "exporter", "ports": port, "readinessProbe": {}}));
        assert!(metrics_violations(&gates)[0].contains("readinessProbe"));
        let twice = json!({"containers": [{"name": "engine", "ports": port}, {"name": "b", "ports": port}]});
        assert!(metrics_violations(&twice)[0].contains("more than one"));
        let own = json!({"containers": [{"name": "engine", "ports": port, "readinessProbe": {}}]});
        assert_eq!(metrics_violations(&own), [""; 0]);
    }
}

//! Rendered objects as an API server would serve them: with its own metadata, owners, defaults and status.
//!
//! Defaults are filled in only where another owner may add a field. Within lists that are one value (rules of a
//! NetworkPolicy, claim templates) the Go twin takes a default for a change, and the two would count differently.

use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::manifests::BuildError;
use kidp_provisioners::{Instance, Provisioner as _};
use serde_json::{Map, Value, json};

/// What an instance's objects are, as asked for and as they are.
#[derive(Debug)]
pub struct Pair {
    /// As rendered.
    pub desired: Vec<Value>,
    /// As the API server has them.
    pub live: Vec<Value>,
    /// The same after someone has scaled the StatefulSet and set another image.
    pub changed: Vec<Value>,
}

/// The objects of an instance.
pub fn pair(instance: &Instance) -> Result<Pair, BuildError> {
    let postgresql = Postgresql::default();
    let credentials = postgresql.credentials(instance, crate::PASSWORD.to_owned());
    let manifests = postgresql.build(instance, &credentials)?;
    let desired: Vec<_> = manifests.objects().iter().map(|o| o.json().clone()).collect();
    let live: Vec<_> = desired.iter().map(served).collect();
    let changed = live.iter().cloned().map(tampered).collect();
    Ok(Pair {
        desired,
        live,
        changed,
    })
}

/// How many fields of the live objects are not as desired.
pub fn changes(desired: &[Value], live: &[Value]) -> usize {
    let both = desired.iter().zip(live);
    both.map(|(desired, live)| kidp_drift::diff(desired, live).len())
        .sum()
}

fn served(desired: &Value) -> Value {
    let mut live = desired.clone();
    let fields = owned(desired);
    live["metadata"]["uid"] = json!("4f0c8a1e-5a0b-4b0e-9f3a-0d6d6f0e7a11");
    live["metadata"]["resourceVersion"] = json!("123456789");
    live["metadata"]["generation"] = json!(1);
    live["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    live["metadata"]["managedFields"] = json!([
        {"manager": "kidp-broker", "operation": "Apply", "apiVersion": desired["apiVersion"],
         "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": desired["apiVersion"],
         "time": "2026-01-01T00:01:00Z", "fieldsType": "FieldsV1", "subresource": "status",
         "fieldsV1": {"f:status": {"f:availableReplicas": {}, "f:currentRevision": {}, "f:replicas": {}}}}
    ]);
    if desired["kind"] == "StatefulSet" {
        defaults(&mut live["spec"]);
        live["status"] = json!({"availableReplicas": 1, "currentRevision": "orders-1", "replicas": 1});
    }
    live
}

/// A field set of everything in an object, as server-side apply records it.
fn owned(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return json!({});
    };
    let fields = map
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"));
    Value::Object(
        fields
            .map(|(name, value)| (format!("f:{name}"), owned_list(name, value)))
            .collect(),
    )
}

fn owned_list(name: &str, value: &Value) -> Value {
    let keys: &[&str] = match name {
        "containers" | "initContainers" | "env" | "volumes" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" => &["containerPort", "protocol"],
        _ => &[],
    };
    let Value::Array(items) = value else {
        return owned(value);
    };
    let mut set = Map::new();
    for item in items
        .iter()
        .filter(|item| !keys.is_empty() && item.get(keys[0]).is_some())
    {
        let key: Map<_, _> = keys
            .iter()
            .map(|key| {
                (
                    (*key).to_owned(),
                    item.get(*key).cloned().unwrap_or_else(|| json!("TCP")),
                )
            })
            .collect();
        let mut fields = owned(item);
        fields["."] = json!({});
        set.insert(format!("k:{}", Value::Object(key)), fields);
    }
    Value::Object(set)
}

fn defaults(spec: &mut Value) {
    fill(spec, json!({"revisionHistoryLimit": 10}));
    let pod = &mut spec["template"]["spec"];
    fill(
        pod,
        json!({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"}),
    );
    for list in ["containers", "initContainers"] {
        for container in pod
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            fill(
                container,
                json!({"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File"}),
            );
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(probe) = container.get_mut(probe) {
                    fill(
                        probe,
                        json!({"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}),
                    );
                }
            }
        }
    }
}

/// Adds what is not there.
fn fill(at: &mut Value, more: Value) {
    if let (Value::Object(at), Value::Object(more)) = (at, more) {
        for (name, value) in more {
            at.entry(name).or_insert(value);
        }
    }
}

fn tampered(mut live: Value) -> Value {
    if live["kind"] == "StatefulSet" {
        live["spec"]["replicas"] = json!(7);
        let container = &mut live["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!("example.com/other:1");
        let key = format!("k:{}", json!({"name": container["name"]}));
        let image = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {key: {"f:image": {}}}}}}});
        if let Some(entries) = live["metadata"]["managedFields"].as_array_mut() {
            entries.push(
                json!({"manager": "kubectl-edit", "operation": "Update", "apiVersion": "apps/v1",
                "time": "2026-01-02T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": image}),
            );
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn served_objects_are_in_sync_and_tampered_ones_are_not() {
        let pair = pair(&crate::instance().unwrap()).unwrap();
        for (desired, live) in pair.desired.iter().zip(&pair.live) {
            assert_eq!(kidp_drift::diff(desired, live), vec![]);
        }
        let found: Vec<_> = pair
            .desired
            .iter()
            .zip(&pair.changed)
            .flat_map(|(desired, live)| kidp_drift::diff(desired, live))
            .map(|change| (change.path, change.author.unwrap().manager))
            .collect();
        let by_hand = "kubectl-edit".to_owned();
        assert_eq!(
            found,
            [
                ("spec.replicas".to_owned(), by_hand.clone()),
                (
                    "spec.template.spec.containers[name=postgresql].image".to_owned(),
                    by_hand
                ),
            ]
        );
        let set = pair.live.iter().find(|o| o["kind"] == "StatefulSet").unwrap();
        let bytes = set.to_string().len();
        assert!(bytes > 8_000, "{bytes}");
    }
}

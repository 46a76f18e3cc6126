//! What a cluster looks like at the moment a step failed on it: a test says what it waited for in vain, this says why
//! (a node under disk pressure, a pod that no node takes, an image that is not there). It only reads, and never fails:
//! what cannot be read is said in its place.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// For each question to the API server, which may itself be what failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The newest warnings that are told.
const EVENTS: usize = 20;
const GIB: f64 = 1_073_741_824.0;

/// Node conditions, pods that are not ready and the newest warnings, a line each.
pub async fn of(client: &Client) -> String {
    let mut text = String::new();
    section(&mut text, "nodes", list::<Node>(client).await.map(|n| nodes(&n)));
    let waiting = list::<Pod>(client).await.map(|p| pods(&p));
    section(&mut text, "pods that are not ready", waiting);
    let told = list::<Event>(client).await.map(warnings);
    section(&mut text, "newest warnings", told);
    text
}

/// Space for files, as one line: builds and images fill a disk, and a kubelet without room starts no pod.
pub fn disk(path: &Path) -> String {
    match rustix::fs::statvfs(path) {
        Ok(found) => {
            // Exact to 4 MiB, which the one decimal does not show.
            #[allow(clippy::cast_precision_loss)]
            let gib = |blocks: u64| (blocks.saturating_mul(found.f_frsize)) as f64 / GIB;
            format!(
                "{:.1} of {:.1} GiB free on the disk",
                gib(found.f_bavail),
                gib(found.f_blocks)
            )
        }
        Err(error) => format!("space on the disk unknown: {error}"),
    }
}

async fn list<K>(client: &Client) -> Result<Vec<K>, String>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let answer = timeout(PATIENCE, api.list(&ListParams::default())).await;
    let found = answer.map_err(|_| "no answer in time".to_owned())?;
    Ok(found.map_err(|error| error.to_string())?.items)
}

fn section(text: &mut String, title: &str, lines: Result<Vec<String>, String>) {
    let lines = lines.unwrap_or_else(|error| vec![format!("not known: {error}")]);
    // Writing to a String does not fail.
    let _ = writeln!(text, "--- {title}: {}", lines.len());
    for line in lines {
        let _ = writeln!(text, "    {line}");
    }
}

/// Every node with what is wrong with it: conditions out of order, taints.
fn nodes(nodes: &[Node]) -> Vec<String> {
    let told = |node: &Node| {
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let wrong = conditions
            .filter(|c| (c.status == "True") != (c.type_ == "Ready"))
            .map(|c| {
                let message = c.message.as_deref().unwrap_or_default();
                format!("{}={} ({message})", c.type_, c.status)
            });
        let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
        let taints = taints.map(|t| format!("taint {}", t.key));
        let found: Vec<String> = wrong.chain(taints).collect();
        let found = if found.is_empty() {
            "in order".to_owned()
        } else {
            found.join(", ")
        };
        format!("{}: {found}", node.name_any())
    };
    nodes.iter().map(told).collect()
}

/// Pods that should serve and do not, with the reasons that scheduler and kubelet give.
fn pods(pods: &[Pod]) -> Vec<String> {
    pods.iter().filter_map(unready).collect()
}

fn unready(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    let conditions = || status.conditions.iter().flatten();
    let ready = conditions().any(|c| c.type_ == "Ready" && c.status == "True");
    if ready || phase == "Succeeded" {
        return None;
    }
    let refused = conditions()
        .filter(|c| c.status == "False")
        .filter_map(|c| c.message.clone());
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let stuck = containers.into_iter().flatten().flatten().filter_map(|c| {
        let state = c.state.as_ref()?;
        let waits = state.waiting.as_ref().and_then(|w| w.reason.clone());
        let ended = || state.terminated.as_ref().map(|t| format!("exit {}", t.exit_code));
        Some(format!("{}: {}", c.name, waits.or_else(ended)?))
    });
    let why: Vec<String> = refused.chain(stuck).collect();
    let namespace = pod.namespace().unwrap_or_default();
    Some(format!(
        "{namespace}/{} {phase}: {}",
        pod.name_any(),
        why.join("; ")
    ))
}

/// The newest warnings, oldest of them first.
fn warnings(mut events: Vec<Event>) -> Vec<String> {
    events.retain(|event| event.type_.as_deref() == Some("Warning"));
    let at = |event: &Event| {
        let told: Option<Time> = event.last_timestamp.clone();
        told.or_else(|| event.metadata.creation_timestamp.clone())
            .map(|Time(at)| at)
    };
    events.sort_by_key(at);
    let newest = events.iter().skip(events.len().saturating_sub(EVENTS));
    let line = |event: &Event| {
        let about = &event.involved_object;
        format!(
            "{}/{} {}: {} ({} times)",
            about.namespace.as_deref().unwrap_or("-"),
            about.name.as_deref().unwrap_or("-"),
            event.reason.as_deref().unwrap_or("-"),
            event.message.as_deref().unwrap_or("-"),
            event.count.unwrap_or(1),
        )
    };
    newest.map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn node(conditions: &Value, taints: &Value) -> Node {
        let node = json!({"metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"conditions": conditions}});
        from_value(node).unwrap()
    }

    #[test]
    fn a_node_is_told_with_what_is_wrong() {
        let good = json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]);
        assert_eq!(nodes(&[node(&good, &json!([]))]), ["n: in order"]);
        let full = json!([{"type": "Ready", "status": "True"},
            {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"}]);
        let taint = json!([{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]);
        assert_eq!(
            nodes(&[node(&full, &taint)]),
            ["n: DiskPressure=True (kubelet has disk pressure), taint node.kubernetes.io/disk-pressure"]
        );
    }

    #[test]
    fn a_pod_is_told_with_its_reasons_and_a_ready_one_not_at_all() {
        let pod = |status: &Value| -> Pod {
            from_value(json!({"metadata": {"namespace": "shop", "name": "p"}, "status": status})).unwrap()
        };
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let done = json!({"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]});
        assert!(pods(&[pod(&ready), pod(&done)]).is_empty());

        let pending = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]});
        let image = json!({"phase": "Pending", "containerStatuses": [{"name": "main", "ready": false, "image": "",
            "imageID": "", "restartCount": 0, "state": {"waiting": {"reason": "ErrImageNeverPull"}}}]});
        assert_eq!(
            pods(&[pod(&pending), pod(&image)]),
            [
                "shop/p Pending: 0/1 nodes are available",
                "shop/p Pending: main: ErrImageNeverPull"
            ]
        );
    }

    #[test]
    fn only_the_newest_warnings_are_told() {
        let event = |n: u32, kind: &str| -> Event {
            let at = format!("2026-01-01T00:00:{n:02}Z");
            let about = json!({"namespace": "shop", "name": format!("p{n}")});
            let event = json!({"metadata": {}, "type": kind, "lastTimestamp": at, "involvedObject": about,
                "reason": "Failed", "message": "no", "count": 2});
            from_value(event).unwrap()
        };
        let mut events: Vec<Event> = (0..30).rev().map(|n| event(n, "Warning")).collect();
        events.push(event(59, "Normal"));
        let told = warnings(events);
        assert_eq!(told.len(), EVENTS);
        assert_eq!(told.last().unwrap(), "shop/p29 Failed: no (2 times)");
    }

    #[test]
    fn space_is_told_of_a_real_path_only() {
        assert!(disk(Path::new("/")).ends_with("GiB free on the disk"));
        assert!(disk(Path::new("/nowhere-at-all")).starts_with("space on the disk unknown"));
    }
}

//! What was seen, as an answer: the chain, the warnings and the cause. Pure.

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::{READY, STALLED};
use kidp_core::crd::{BrokerPhase, Phase};
use kube::ResourceExt;
use serde::Serialize;

use super::cause::{CauseView, find, objects};
use super::seen::Seen;
use crate::output::{Health, line};

/// Most warnings that are told.
const WARNINGS: usize = 10;

/// The answer of `status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The namespace.
    pub namespace: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseView>,
    /// The resource, and below it what it is made of.
    pub chain: Node,
    /// Warnings of all of them, the latest first.
    pub warnings: Vec<Warning>,
    /// What could not be seen, and why.
    pub not_seen: Vec<String>,
}

/// An object of the chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its state, in a word or two.
    pub state: String,
    /// What the state means.
    pub health: Health,
    /// More of it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

/// A warning of an object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// The object, as `Kind/name`.
    pub object: String,
    /// Its reason.
    pub reason: String,
    /// What it says.
    pub message: String,
    /// How often.
    pub count: i32,
    /// When, for the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<jiff::Timestamp>,
}

impl Node {
    fn new(kind: &str, name: impl Into<String>, state: impl AsRef<str>, health: Health) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.into(),
            state: line(state.as_ref()),
            health,
            details: Vec::new(),
            children: Vec::new(),
        }
    }
}

/// The answer that was seen.
pub fn report(seen: &Seen, now: jiff::Timestamp) -> Report {
    let cause = find(seen, now);
    Report {
        namespace: seen.subject.namespace().to_owned(),
        ready: cause.is_none(),
        cause: cause.map(CauseView::from),
        chain: resource(seen),
        warnings: warnings(&seen.events),
        not_seen: seen.gaps.iter().map(|gap| line(gap)).collect(),
    }
}

fn resource(seen: &Seen) -> Node {
    let (subject, status) = (&seen.subject, &seen.subject.status);
    let state = if subject.is_observed() {
        status.phase.as_str().to_owned()
    } else {
        format!("{} (of an older spec)", status.phase.as_str())
    };
    let mut node = Node::new(
        subject.kind.as_str(),
        subject.name(),
        state,
        of_phase(status.phase),
    );
    let spec = &subject.instance;
    node.details.push(format!(
        "{} {} {}, {}",
        spec.engine, spec.version, spec.size, spec.storage.size
    ));
    if let (Some(endpoint), Some(port)) = (&status.endpoint, status.port) {
        node.details.push(format!("{endpoint}:{port}"));
    }
    node.details.extend(conditions(&status.conditions));
    node.children.extend(broker(seen));
    node.children.extend(record(seen));
    node
}

fn conditions(all: &[Condition]) -> impl Iterator<Item = String> + '_ {
    all.iter()
        .map(|c| line(&format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message)))
}

fn of_phase(phase: Phase) -> Health {
    match phase {
        Phase::Ready => Health::Good,
        Phase::Pending | Phase::Provisioning | Phase::Deleting => Health::Open,
        Phase::Failed | Phase::DriftDetected | Phase::Suspended => Health::Bad,
    }
}

fn broker(seen: &Seen) -> Option<Node> {
    let broker = seen.broker.as_ref()?;
    let status = broker.status.clone().unwrap_or_default();
    let health = match status.phase {
        BrokerPhase::Ready => Health::Good,
        BrokerPhase::Pending => Health::Open,
        BrokerPhase::Unhealthy | BrokerPhase::Offline | BrokerPhase::Unknown => Health::Bad,
    };
    let mut node = Node::new("Broker", broker.name_any(), status.phase.as_str(), health);
    if status.phase != BrokerPhase::Ready {
        node.details.extend(conditions(&status.conditions));
    }
    Some(node)
}

fn record(seen: &Seen) -> Option<Node> {
    let record = seen.record.as_ref()?;
    let status = record.status.clone().unwrap_or_default();
    let mut node = Node::new(
        "ServiceInstance",
        record.name_any(),
        status.phase.as_str(),
        of_phase(status.phase),
    );
    let of_interest = status
        .conditions
        .iter()
        .filter(|c| c.type_ == STALLED || c.type_ == READY);
    let of_interest: Vec<_> = of_interest
        .filter(|c| !(c.type_ == READY && c.status == "True"))
        .cloned()
        .collect();
    node.details.extend(conditions(&of_interest));
    node.children.extend(workload(seen));
    let named =
        |kind: &'static str| move |name: &String| Node::new(kind, name.clone(), "there", Health::Good);
    node.children.extend(seen.services.iter().map(named("Service")));
    node.children.extend(seen.secret.iter().map(|(name, there)| {
        let (state, health) = if *there {
            ("there", Health::Good)
        } else {
            ("not there yet", Health::Open)
        };
        Node::new("Secret", name.clone(), state, health)
    }));
    Some(node)
}

fn workload(seen: &Seen) -> Option<Node> {
    let mut node = if let Some(set) = &seen.set {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = set
            .status
            .as_ref()
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0);
        let health = if ready >= wanted {
            Health::Good
        } else {
            Health::Open
        };
        Node::new(
            "StatefulSet",
            set.name_any(),
            format!("{ready}/{wanted} ready"),
            health,
        )
    } else {
        let cluster = seen.cluster.as_ref()?;
        let phase = cluster.data["status"]["phase"].as_str().unwrap_or("new");
        let health = if phase == "Cluster in healthy state" {
            Health::Good
        } else {
            Health::Open
        };
        Node::new("Cluster", cluster.name_any(), phase, health)
    };
    node.children.extend(seen.pods.iter().map(pod));
    node.children.extend(seen.claims.iter().map(claim));
    Some(node)
}

fn pod(pod: &Pod) -> Node {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let is_ready = conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let containers: Vec<_> = [status.init_container_statuses, status.container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let waiting = containers
        .iter()
        .find_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let restarts: i32 = containers.iter().map(|c| c.restart_count).sum();
    let phase = status.phase.unwrap_or_default();
    let (state, health) = match (waiting, is_ready) {
        _ if pod.metadata.deletion_timestamp.is_some() => ("Terminating".to_owned(), Health::Open),
        (_, true) => ("Ready".to_owned(), Health::Good),
        (Some(reason), false) if is_stuck(&reason) => (reason, Health::Bad),
        (Some(reason), false) => (reason, Health::Open),
        (None, false) => (format!("{phase}, not ready"), Health::Open),
    };
    let mut node = Node::new("Pod", pod.name_any(), state, health);
    if restarts > 0 {
        node.details.push(format!("{restarts} restarts"));
    }
    node
}

fn is_stuck(reason: &str) -> bool {
    !matches!(reason, "ContainerCreating" | "PodInitializing")
}

fn claim(claim: &PersistentVolumeClaim) -> Node {
    let status = claim.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let health = match phase.as_str() {
        "Bound" => Health::Good,
        "Lost" => Health::Bad,
        _ => Health::Open,
    };
    let size = status
        .capacity
        .and_then(|capacity| capacity.get("storage").map(|q| q.0.clone()));
    let state = size.map_or_else(|| phase.clone(), |size| format!("{phase} {size}"));
    Node::new("PersistentVolumeClaim", claim.name_any(), state, health)
}

fn warnings(events: &[Event]) -> Vec<Warning> {
    let warnings = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"));
    let mut told: Vec<_> = warnings
        .map(|event| Warning {
            object: format!(
                "{}/{}",
                event.involved_object.kind.as_deref().unwrap_or_default(),
                event.involved_object.name.as_deref().unwrap_or_default()
            ),
            reason: event.reason.clone().unwrap_or_default(),
            message: line(event.message.as_deref().unwrap_or_default()),
            count: objects::times(event),
            last_seen: objects::when(event),
        })
        .collect();
    told.sort_by_key(|warning| std::cmp::Reverse(warning.last_seen));
    told.truncate(WARNINGS);
    told
}

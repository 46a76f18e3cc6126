//! Causes from the objects of an instance and their events.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod};

use super::{Cause, Finding, words};
use crate::status::seen::Seen;

/// How long a container may run without being ready before that is a failure, where no probe says that it fails.
const START: SignedDuration = SignedDuration::from_mins(2);
/// Failures of a readiness probe after which it is one: databases take a moment to start.
const PROBES: i32 = 3;

/// The first thing that keeps the instance from being ready.
pub fn find(seen: &Seen, now: Timestamp) -> Option<Finding> {
    lost(seen)
        .or_else(|| {
            seen.pods
                .iter()
                .filter(|pod| !is_deleting(pod))
                .find_map(|pod| of_pod(seen, pod, now))
        })
        .or_else(|| refused(seen))
        .or_else(|| seen.claims.iter().find_map(|claim| pending(seen, claim)))
}

fn lost(seen: &Seen) -> Option<Finding> {
    let claim = seen.claims.iter().find(|claim| phase(claim) == "Lost")?;
    let message = "the volume that it was bound to is gone";
    Some(Finding::new(Cause::VolumeLost, claim_key(claim), message))
}

/// Pods or claims that are not there, because the API server refuses them. An event of a refusal that is over stays for an
/// hour, so it counts only while a pod is missing.
fn refused(seen: &Seen) -> Option<Finding> {
    let set = seen.set.as_ref()?;
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    if i32::try_from(seen.pods.len()).is_ok_and(|pods| pods >= wanted) {
        return None;
    }
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let event = last(seen, "StatefulSet", name, &["FailedCreate"])?;
    let message = event.message.as_deref().unwrap_or_default();
    let cause = words::read(message).unwrap_or(Cause::PodRefused);
    Some(Finding::new(cause, format!("StatefulSet/{name}"), message))
}

fn of_pod(seen: &Seen, pod: &Pod, now: Timestamp) -> Option<Finding> {
    let key = pod_key(pod);
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
    {
        return None;
    }
    let scheduled = conditions
        .iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(scheduled) = scheduled {
        let message = scheduled.message.as_deref().unwrap_or_default();
        return Some(no_node(seen, pod, message));
    }
    let containers = || {
        let all = [&status.init_container_statuses, &status.container_statuses];
        all.into_iter().flatten().flatten()
    };
    containers()
        .find_map(|container| stuck(container, &key))
        .or_else(|| unmounted(seen, pod))
        .or_else(|| containers().find_map(|container| silent(seen, pod, container, now)))
}

/// A pod that no node takes: for want of a volume, or of room.
fn no_node(seen: &Seen, pod: &Pod, message: &str) -> Finding {
    if message.contains("PersistentVolumeClaim") || message.contains("persistentvolumeclaim") {
        if let Some(finding) = seen.claims.iter().find_map(|claim| pending(seen, claim)) {
            return finding;
        }
        return Finding::new(Cause::VolumePending(String::new()), pod_key(pod), message);
    }
    Finding::new(Cause::Unschedulable, pod_key(pod), message)
}

/// A container that does not start.
fn stuck(container: &ContainerStatus, key: &str) -> Option<Finding> {
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let cause = match reason {
        "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName"
        | "ImageInspectError" => Cause::BadImage(container.image.clone()),
        "CreateContainerConfigError" => Cause::ContainerConfig,
        "CrashLoopBackOff" | "RunContainerError" | "CreateContainerError" => {
            let is_oom = last.and_then(|end| end.reason.as_deref()) == Some("OOMKilled");
            if is_oom { Cause::OutOfMemory } else { Cause::Crash }
        }
        _ => return None,
    };
    let end = last.map_or_else(String::new, |end| {
        let why = end.reason.as_deref().unwrap_or_default();
        format!(
            "; last exit code {} {why}, {} restarts",
            end.exit_code, container.restart_count
        )
    });
    let said = format!("container {}: {reason}: {message}{end}", container.name);
    Some(Finding::new(cause, key, said))
}

/// A pod whose volumes are not there yet, and why.
fn unmounted(seen: &Seen, pod: &Pod) -> Option<Finding> {
    let waiting = pod.status.as_ref()?.phase.as_deref() == Some("Pending");
    let name = pod.metadata.name.as_deref().filter(|_| waiting)?;
    let event = last(seen, "Pod", name, &["FailedMount", "FailedAttachVolume"])?;
    let message = event.message.as_deref().unwrap_or_default();
    Some(Finding::new(Cause::VolumeMount, pod_key(pod), message))
}

/// A container that runs and does not answer, for longer than a start takes.
fn silent(seen: &Seen, pod: &Pod, container: &ContainerStatus, now: Timestamp) -> Option<Finding> {
    let running = container.state.as_ref()?.running.as_ref()?;
    if container.ready {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let event = last(seen, "Pod", name, &["Unhealthy"]);
    let failures = event.map_or(0, times);
    let since = running.started_at.as_ref().map_or(now, |time| time.0);
    let said = event
        .and_then(|event| event.message.as_deref())
        .unwrap_or("its readiness probe has not succeeded");
    let waited = now.duration_since(since);
    let is_failure = failures >= PROBES || waited > START;
    let message = format!(
        "container {} runs for {} s and is not ready: {said}",
        container.name,
        waited.as_secs()
    );
    is_failure.then(|| Finding::new(Cause::Unready, pod_key(pod), message))
}

fn pending(seen: &Seen, claim: &PersistentVolumeClaim) -> Option<Finding> {
    if phase(claim) != "Pending" {
        return None;
    }
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let class = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or_default();
    let event = last(
        seen,
        "PersistentVolumeClaim",
        name,
        &["ProvisioningFailed", "FailedBinding", "ExternalProvisioning"],
    );
    let said = event
        .and_then(|event| event.message.as_deref())
        .unwrap_or("no volume is bound to it");
    Some(Finding::new(
        Cause::VolumePending(class.to_owned()),
        claim_key(claim),
        said,
    ))
}

/// The latest event of an object with one of these reasons.
fn last<'a>(seen: &'a Seen, kind: &str, name: &str, reasons: &[&str]) -> Option<&'a Event> {
    let of_object = |event: &&Event| {
        let object = &event.involved_object;
        object.kind.as_deref() == Some(kind) && object.name.as_deref() == Some(name)
    };
    let is_named = |event: &&Event| {
        event
            .reason
            .as_deref()
            .is_some_and(|reason| reasons.contains(&reason))
    };
    seen.events
        .iter()
        .filter(of_object)
        .filter(is_named)
        .max_by_key(|event| when(event))
}

/// When an event was seen last.
pub fn when(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let last = event.last_timestamp.as_ref();
    let first = event.event_time.as_ref();
    series
        .map(|t| t.0)
        .or_else(|| last.map(|t| t.0))
        .or_else(|| first.map(|t| t.0))
}

/// How often an event was seen.
pub fn times(event: &Event) -> i32 {
    let series = event.series.as_ref().and_then(|series| series.count);
    series.or(event.count).unwrap_or(1)
}

fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn pod_key(pod: &Pod) -> String {
    format!("Pod/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

fn claim_key(claim: &PersistentVolumeClaim) -> String {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    format!("PersistentVolumeClaim/{name}")
}

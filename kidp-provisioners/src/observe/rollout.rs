//! Readiness of a StatefulSet's pods, the same for every engine whose readiness probe speaks its protocol.

use super::{Observed, Pod, Workload};
use crate::provisioner::Readiness;

/// Restarts after which a crashing pod is said to need help.
const RESTARTS: i32 = 3;

/// Reasons for which a container does not start before something outside is mended.
const STUCK: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

impl Observed {
    /// Whether every member is ready in the shape that was last applied.
    ///
    /// A failure is not final: the instance is judged anew at each observation, and a corrected spec replaces
    /// pods that failed.
    pub fn rollout(&self) -> Readiness {
        let Some(workload) = &self.workload else {
            return Readiness::Progressing("StatefulSet is not there yet".to_owned());
        };
        if let Some(claim) = self.claims.iter().find(|claim| claim.phase == "Lost") {
            return Readiness::Failed(format!("volume of {} is lost", claim.name));
        }
        if workload.deleting || workload.observed_generation < workload.generation {
            return Readiness::Progressing("waiting for the StatefulSet controller".to_owned());
        }
        // Pods of an older revision are about to be replaced: their failures are no longer of interest.
        let current = |pod: &&Pod| pod.revision == workload.update_revision && !pod.deleting;
        if let Some(failure) = self.pods.iter().filter(current).find_map(failure) {
            return Readiness::Failed(failure);
        }
        let ready = self.pods.iter().filter(current).filter(|pod| pod.ready).count();
        if !self.service {
            return Readiness::Progressing("Service is not there yet".to_owned());
        }
        if is_complete(workload) && i32::try_from(ready).is_ok_and(|ready| ready >= workload.replicas) {
            return Readiness::Ready;
        }
        Readiness::Progressing(self.progress(workload, ready))
    }

    fn progress(&self, workload: &Workload, ready: usize) -> String {
        let count = format!("{ready} of {} members ready", workload.replicas);
        let pod_detail = |pod: &Pod| match (&pod.unschedulable, &pod.waiting) {
            (Some(why), _) => Some(format!("{} has no node: {why}", pod.name)),
            (None, Some((reason, _))) => Some(format!("{}: {reason}", pod.name)),
            (None, None) => None,
        };
        let claim = self.claims.iter().find(|claim| claim.phase == "Pending");
        let detail = self
            .pods
            .iter()
            .find_map(pod_detail)
            .or_else(|| claim.map(|claim| format!("{} waits for a volume", claim.name)));
        match detail {
            Some(detail) => format!("{count}; {detail}"),
            None => count,
        }
    }
}

fn is_complete(workload: &Workload) -> bool {
    workload.ready >= workload.replicas
        && workload.updated >= workload.replicas
        && workload.current_revision == workload.update_revision
}

fn failure(pod: &Pod) -> Option<String> {
    let (reason, message) = pod.waiting.as_ref()?;
    if STUCK.contains(&reason.as_str()) {
        return Some(format!("{}: {reason}: {message}", pod.name));
    }
    if reason == "CrashLoopBackOff" && pod.restarts >= RESTARTS {
        let (code, why) = pod
            .last_exit
            .as_ref()
            .map_or((0, ""), |(code, why)| (*code, why.as_str()));
        return Some(format!(
            "{} crashes: {} restarts, last exit code {code} {why}; see its log",
            pod.name, pod.restarts
        ));
    }
    None
}

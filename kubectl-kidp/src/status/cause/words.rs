//! Causes from what broker and operator say in words, where the objects themselves cannot be seen: the sentences are those of
//! `Observed::rollout` of `kidp-provisioners`, which a test holds this against.

use kidp_core::conditions::STALLED;

use super::{Cause, Finding};
use crate::status::seen::Seen;

/// What a sentence means: of a pod, a claim or an admission.
pub fn read(message: &str) -> Option<Cause> {
    let has = |text: &str| message.contains(text);
    Some(match () {
        () if has("exceeded quota") => Cause::NamespaceQuota,
        () if has("has no room: used") => Cause::TeamQuota,
        () if has("ImagePullBackOff") || has("ErrImage") || has("InvalidImageName") => {
            Cause::BadImage(image(message))
        }
        () if has("CreateContainerConfigError") => Cause::ContainerConfig,
        () if has("OOMKilled") => Cause::OutOfMemory,
        () if has(" crashes: ") || has("CrashLoopBackOff") || has("RunContainerError") => Cause::Crash,
        () if has("PersistentVolumeClaims") || has("waits for a volume") => {
            Cause::VolumePending(String::new())
        }
        () if has("has no node:") => Cause::Unschedulable,
        () if has("volume of ") && has(" is lost") => Cause::VolumeLost,
        () if has("violates PodSecurity") => Cause::PodRefused,
        () => return None,
    })
}

/// The image that a kubelet could not pull, as it quotes it.
fn image(message: &str) -> String {
    let mut quoted = message.split('"').skip(1);
    quoted.next().unwrap_or_default().to_owned()
}

/// What the broker's record says.
pub fn of_record(seen: &Seen) -> Option<Finding> {
    let record = seen.record.as_ref()?;
    let status = record.status.as_ref()?;
    let message = status.message.as_deref()?;
    let cause = read(message).or_else(|| match status.error.as_deref() {
        None | Some("InstanceFailed") => None,
        Some(reason) => Some(Cause::Refused(reason.to_owned())),
    })?;
    let name = record.metadata.name.as_deref().unwrap_or_default();
    Some(Finding::new(cause, format!("ServiceInstance/{name}"), message))
}

/// What the resource's own status says.
pub fn of_resource(seen: &Seen) -> Option<Finding> {
    let conditions = &seen.subject.status.conditions;
    conditions.iter().find_map(|condition| {
        let refused = || {
            let stalled = condition.type_ == STALLED && condition.status == "True";
            stalled.then(|| Cause::Refused(condition.reason.clone()))
        };
        let is_of_failure = condition.type_ == STALLED || condition.status != "True";
        let cause = read(&condition.message)
            .filter(|_| is_of_failure)
            .or_else(refused)?;
        Some(Finding::new(cause, seen.key(), &condition.message))
    })
}

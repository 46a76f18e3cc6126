//! What a binding's status says, and whether that is worth a write.

use std::time::Duration;

use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{LocalRef, Phase, ServiceBinding, ServiceBindingStatus};
use kube::ResourceExt as _;

use super::super::status::GRACE;

/// How far a binding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The login works.
    Ready,
    /// On its way; the message says what is missing.
    Progressing(String),
    /// It will not get there without help.
    Failed {
        /// Stable reason.
        reason: &'static str,
        /// What to do about it.
        message: String,
    },
}

impl Verdict {
    pub(super) fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Failed {
            reason,
            message: message.into(),
        }
    }
}

/// The status to write, if one is to be written. Pure.
pub(super) fn next(
    binding: &ServiceBinding,
    verdict: &Verdict,
    now: jiff::Timestamp,
    unsettled: Duration,
) -> Option<ServiceBindingStatus> {
    if matches!(verdict, Verdict::Progressing(_)) && unsettled < GRACE {
        return None;
    }
    let previous = binding.status.clone().unwrap_or_default();
    let generation = binding.metadata.generation.unwrap_or_default();
    let mut next = ServiceBindingStatus {
        observed_generation: binding.metadata.generation,
        binding: previous.binding.clone(),
        ..ServiceBindingStatus::default()
    };
    match verdict {
        Verdict::Ready => {
            next.phase = Phase::Ready;
            next.binding = Some(LocalRef {
                name: binding.name_any(),
                namespace: None,
            });
            let say = Statement::new("Bound", "the login works");
            next.conditions = conditions::ready(&say, generation, now);
        }
        Verdict::Progressing(message) => {
            next.phase = Phase::Provisioning;
            next.message = Some(message.clone());
            next.conditions = conditions::reconciling(&Statement::new("Binding", message), generation, now);
        }
        Verdict::Failed { reason, message } => {
            next.phase = Phase::Failed;
            next.message = Some(message.clone());
            next.error = Some((*reason).to_owned());
            next.conditions = conditions::stalled(&Statement::new(reason, message), generation, now);
        }
    }
    next.conditions = conditions::carry_over(&previous.conditions, next.conditions);
    (next != previous).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bindings, testing};

    #[test]
    fn a_status_is_written_once_and_progress_only_when_it_lasts() {
        let mut binding = bindings::new("eu", &testing::record(), "b-1", None);
        binding.metadata.generation = Some(1);
        let now = jiff::Timestamp::UNIX_EPOCH;
        let waiting = Verdict::Progressing("no pod".to_owned());
        assert_eq!(next(&binding, &waiting, now, Duration::ZERO), None);
        let said = next(&binding, &waiting, now, GRACE).unwrap();
        assert_eq!((said.phase, said.binding), (Phase::Provisioning, None));
        let ready = next(&binding, &Verdict::Ready, now, Duration::ZERO).unwrap();
        assert_eq!(ready.binding.as_ref().unwrap().name, binding.name_any());
        binding.status = Some(ready);
        let later = jiff::Timestamp::from_second(99).unwrap();
        assert_eq!(next(&binding, &Verdict::Ready, later, Duration::ZERO), None);
        let failed = next(&binding, &Verdict::failed("X", "y"), later, Duration::ZERO).unwrap();
        assert_eq!(
            (failed.phase, failed.error.as_deref()),
            (Phase::Failed, Some("X"))
        );
    }
}

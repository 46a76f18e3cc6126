//! Kubernetes Events, on transitions only: an Event is a write, so a repeated reconcile publishes none.

use kidp_core::crd::{Phase, ServiceResource};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource};

use crate::config::Config;

/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;

/// A recorder in the name of the operator.
pub fn recorder(client: Client, config: &Config) -> Recorder {
    Recorder::new(
        client,
        kube::runtime::events::Reporter {
            controller: "kidp-operator".to_owned(),
            instance: config.identity.clone(),
        },
    )
}

/// Whether the step from one phase to another is worth an Event. Provisioning is the usual way to every other
/// phase and would only double the writes.
const fn is_news(old: Phase, new: Phase) -> bool {
    let changed = !matches!(
        (old, new),
        (Phase::Ready, Phase::Ready)
            | (Phase::DriftDetected, Phase::DriftDetected)
            | (Phase::Failed, Phase::Failed)
            | (Phase::Deleting, Phase::Deleting)
    );
    changed
        && matches!(
            new,
            Phase::Ready | Phase::Failed | Phase::Deleting | Phase::DriftDetected
        )
}

/// Tells of the step from `old` to `new`, if it is news. A failure to tell is logged and is no reason to stop.
pub async fn transition<K: ServiceResource>(
    recorder: &Recorder,
    resource: &K,
    old: Phase,
    new: Phase,
    note: &str,
) {
    if !is_news(old, new) {
        return;
    }
    let event = Event {
        type_: if matches!(new, Phase::Failed | Phase::DriftDetected) {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: format!("{new:?}"),
        note: Some(truncated(note, MAX_NOTE)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    publish(recorder, resource, &event).await;
}

/// Publishes an Event of an object. A failure to tell is logged and is no reason to stop.
pub async fn publish<K: Resource<DynamicType = ()>>(recorder: &Recorder, object: &K, event: &Event) {
    if let Err(error) = recorder.publish(event, &object.object_ref(&())).await {
        tracing::warn!(%error, "cannot publish an Event");
    }
}

/// `text`, cut at a character boundary to at most `limit` bytes.
pub fn truncated(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn staying_is_no_news() {
        for phase in [
            Phase::Pending,
            Phase::Provisioning,
            Phase::Ready,
            Phase::Failed,
            Phase::Deleting,
        ] {
            assert!(!is_news(phase, phase));
        }
        assert!(is_news(Phase::Provisioning, Phase::Ready));
    }

    proptest! {
        #[test]
        fn cut_texts_fit(text in ".{0,40}", limit in 3_usize..40) {
            prop_assert!(truncated(&text, limit).len() <= limit);
        }
    }
}

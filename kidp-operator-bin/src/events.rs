//! Kubernetes Events, on transitions only: an Event is a write, so a repeated reconcile publishes none.

use std::time::Duration;

use kidp_core::conditions::READY;
use kidp_core::crd::{BrokerPhase, BrokerStatus, Phase, ServiceResource};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource};

use crate::config::Config;

/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;
/// Longest that publishing takes; an Event is worth no more.
const TIMEOUT: Duration = Duration::from_secs(3);

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

/// The Event of a broker's step from one phase to another; none where it stays, or was not asked yet.
pub fn of_broker(old: BrokerPhase, next: &BrokerStatus) -> Option<Event> {
    let type_ = match next.phase {
        phase if phase == old => return None,
        BrokerPhase::Pending => return None,
        BrokerPhase::Ready => EventType::Normal,
        BrokerPhase::Unhealthy | BrokerPhase::Offline | BrokerPhase::Unknown => EventType::Warning,
    };
    let said = next.conditions.iter().find(|c| c.type_ == READY);
    Some(Event {
        type_,
        reason: next.phase.as_str().to_owned(),
        note: said.map(|condition| truncated(&condition.message, MAX_NOTE)),
        action: "Check".to_owned(),
        secondary: None,
    })
}

/// Publishes an Event of an object. A failure to tell is logged and is no reason to stop.
pub async fn publish<K: Resource<DynamicType = ()>>(recorder: &Recorder, object: &K, event: &Event) {
    let reference = object.object_ref(&());
    match tokio::time::timeout(TIMEOUT, recorder.publish(event, &reference)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot publish an Event"),
        Err(_) => tracing::warn!("an Event was not published in time"),
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

    #[test]
    fn a_broker_is_told_of_when_its_phase_changes() {
        let say = kidp_core::conditions::Statement::new("Offline", "the broker has not answered for long");
        let status = |phase| BrokerStatus {
            phase,
            conditions: kidp_core::conditions::reconciling(&say, 1, jiff::Timestamp::UNIX_EPOCH),
            ..BrokerStatus::default()
        };
        let told = of_broker(BrokerPhase::Unhealthy, &status(BrokerPhase::Offline)).unwrap();
        assert!(matches!(told.type_, EventType::Warning));
        assert_eq!(
            (told.reason.as_str(), told.note.as_deref()),
            ("Offline", Some("the broker has not answered for long"))
        );
        let back = of_broker(BrokerPhase::Offline, &status(BrokerPhase::Ready)).unwrap();
        assert!(matches!(back.type_, EventType::Normal));
        for phase in [BrokerPhase::Ready, BrokerPhase::Offline, BrokerPhase::Pending] {
            assert!(of_broker(phase, &status(phase)).is_none());
        }
        assert!(of_broker(BrokerPhase::Ready, &status(BrokerPhase::Pending)).is_none());
    }

    proptest! {
        #[test]
        fn cut_texts_fit(text in ".{0,40}", limit in 3_usize..40) {
            prop_assert!(truncated(&text, limit).len() <= limit);
        }
    }
}

//! Kubernetes Events of a record: what was put back, and what is left. An Event is a write, so a repeated reconcile
//! publishes none.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kidp_core::conditions;
use kidp_core::crd::ServiceInstance;
use kidp_drift::Change;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};

use super::sync::Report;

/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;
/// Most Events of one reconcile.
const MAX_EVENTS: usize = 10;
/// Longest that publishing takes; an Event is worth no more.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A recorder in the name of the broker.
pub fn recorder(client: Client, broker: &str) -> Recorder {
    let reporter = Reporter {
        controller: "kidp-broker".to_owned(),
        instance: Some(broker.to_owned()),
    };
    Recorder::new(client, reporter)
}

/// Tells what was put back, and who had changed it; an Event a change, for the first few.
pub async fn put_back(recorder: &Recorder, record: &ServiceInstance, changes: &[Change]) {
    for change in changes.iter().take(MAX_EVENTS) {
        let (reason, note) = ("DriftRemediated", change.to_string());
        publish(recorder, record, EventType::Normal, reason, &note, Some(change)).await;
    }
}

/// Tells what is left, where the status has just begun to say so or says it of something else.
pub async fn drift(recorder: &Recorder, before: &ServiceInstance, after: &ServiceInstance, report: &Report) {
    let said = |record: &ServiceInstance| {
        let conditions = record.status.iter().flat_map(|status| &status.conditions);
        let found = conditions.filter(|c| c.type_ == conditions::IN_SYNC && c.status != "True");
        found.map(|c| (c.reason.clone(), c.message.clone())).next()
    };
    if let Some((reason, message)) = said(after)
        && said(before).as_ref() != Some(&(reason.clone(), message.clone()))
    {
        let first = report.left.first().map(|(change, _)| change);
        publish(recorder, after, EventType::Warning, &reason, &message, first).await;
    }
}

/// The field is the Event's `related`: Events that are equal in all but their note are taken for repeats of the first, whose
/// note stays.
async fn publish(
    recorder: &Recorder,
    record: &ServiceInstance,
    type_: EventType,
    reason: &str,
    note: &str,
    change: Option<&Change>,
) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note[..note.floor_char_boundary(MAX_NOTE)].to_owned()),
        action: "Reconcile".to_owned(),
        secondary: change.map(|change| related(record, change)),
    };
    let reference = record.object_ref(&());
    match tokio::time::timeout(TIMEOUT, recorder.publish(&event, &reference)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "cannot publish an Event"),
        Err(_) => tracing::debug!("an Event was not published in time"),
    }
}

fn related(record: &ServiceInstance, change: &Change) -> ObjectReference {
    let (kind, name) = change.object.split_once('/').unwrap_or_default();
    ObjectReference {
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        namespace: record.metadata.namespace.clone(),
        field_path: Some(change.path.clone()).filter(|path| !path.is_empty()),
        ..ObjectReference::default()
    }
}

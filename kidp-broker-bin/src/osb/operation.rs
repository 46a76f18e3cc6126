//! What `last_operation` says of an instance and of a binding. Pure.

use kidp_core::crd::{Phase, ServiceBinding, ServiceInstance};

use super::wire::{LastOperation, Operation, State};
use crate::{bindings, record, view};

/// What became of a record that is not there (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It was to go, and has gone.
    Gone,
    /// It should be there.
    Unknown,
}

/// The operation that a platform names; none where it is no word of ours, as after a change of brokers.
pub fn named(operation: Option<&str>) -> Option<Operation> {
    let word = serde_json::Value::from(operation?);
    serde_json::from_value(word).ok()
}

/// A record is gone. Without an operation the platform can only have asked for its removal.
pub fn absent(operation: Option<Operation>) -> Absent {
    match operation {
        None | Some(Operation::Deprovision | Operation::Unbind) => Absent::Gone,
        Some(_) => Absent::Unknown,
    }
}

/// Whether the instance has ever been usable: its endpoint stays in the status.
pub fn was_ready(record: &ServiceInstance) -> bool {
    record
        .status
        .as_ref()
        .is_some_and(|status| status.endpoint.is_some())
}

/// How far the operation on an instance is.
pub fn of_instance(record: &ServiceInstance, operation: Option<Operation>) -> LastOperation {
    let seen = view::status(record);
    let (state, description) = match seen.phase {
        Phase::Deleting => (
            State::InProgress,
            Some("the instance is being removed".to_owned()),
        ),
        Phase::Ready | Phase::DriftDetected => (State::Succeeded, None),
        Phase::Failed => (State::Failed, seen.message),
        _ => (State::InProgress, seen.message),
    };
    let failed_update = state == State::Failed && operation == Some(Operation::Update);
    LastOperation {
        state,
        description,
        // What was applied already goes on; a corrected update always applies.
        instance_usable: failed_update.then(|| was_ready(record)),
        update_repeatable: failed_update.then_some(true),
    }
}

/// Where a binding is in its life, as its status says; before there is one, it is being made.
pub fn phase(binding: &ServiceBinding) -> Phase {
    if bindings::is_deleting(binding) {
        return Phase::Deleting;
    }
    match &binding.status {
        Some(status) if status.observed_generation == binding.metadata.generation => match status.phase {
            phase @ (Phase::Ready | Phase::Failed) => phase,
            _ => Phase::Provisioning,
        },
        _ => Phase::Provisioning,
    }
}

/// How far the operation on a binding is.
pub fn of_binding(binding: &ServiceBinding) -> LastOperation {
    let message = binding.status.as_ref().and_then(|status| status.message.clone());
    let (state, description) = match phase(binding) {
        Phase::Ready => (State::Succeeded, None),
        Phase::Failed => (State::Failed, message),
        _ => (State::InProgress, message),
    };
    LastOperation {
        state,
        description,
        instance_usable: None,
        update_repeatable: None,
    }
}

/// Why an instance cannot be bound or looked at now, if so.
pub fn busy(record: &ServiceInstance) -> Option<&'static str> {
    if record::is_deleting(record) {
        return Some("the instance is being removed");
    }
    (!view::is_usable(view::phase(record))).then_some("the instance is not ready: poll its last_operation")
}

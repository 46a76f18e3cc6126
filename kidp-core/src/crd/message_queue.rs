//! `MessageQueue`: one message broker, asked for by an application team.
//!
//! It has no `backup`: a message is on its way, and a copy of it from last night is delivered twice.

use super::service_kind::service_kind;
use crate::group::MESSAGE_QUEUE_FINALIZER;
use crate::instance::BackupSpec;

service_kind! {
    /// Desired state of a message queue.
    MessageQueue { kind = "MessageQueue", plural = "messagequeues", shortname = "mq" }
    spec: MessageQueueSpec,
    finalizer: MESSAGE_QUEUE_FINALIZER,
    engine: "self == 'rabbitmq'" => "self + (self == 'redis' ? ' is a cache' : ' is a database') + ', not a message queue'",
    backup: |_| BackupSpec::default(),
    only: {}
}

//! The API groups, the finalizers and the field managers: every string that is part of the contract with a
//! cluster, each defined once.

/// API group of the objects that application and platform teams write.
pub const GROUP: &str = "platform.company.com";

/// Version of [`GROUP`].
pub const VERSION: &str = "v1";

/// API group of the broker's own durable record in a target cluster.
pub const BROKER_GROUP: &str = "broker.platform.company.com";

/// Field manager of the broker for server-side apply.
pub const BROKER_FIELD_MANAGER: &str = "kidp-broker";

/// Field manager of the operator for server-side apply.
pub const OPERATOR_FIELD_MANAGER: &str = "kidp-operator";

/// Finalizer on a `Database`; it leaves when the broker confirmed that the instance is gone.
pub const DATABASE_FINALIZER: &str = "platform.company.com/database-cleanup";

/// Finalizer on a `Cache`, for the same purpose.
pub const CACHE_FINALIZER: &str = "platform.company.com/cache-cleanup";

/// Finalizer on a `MessageQueue`, for the same purpose.
pub const MESSAGE_QUEUE_FINALIZER: &str = "platform.company.com/messagequeue-cleanup";

/// Finalizer on a `Team` with namespaces; it leaves when they are gone.
pub const TEAM_FINALIZER: &str = "platform.company.com/team-cleanup";

/// Finalizer on a `ServiceInstance`; it leaves when the instance's objects are confirmed gone.
pub const SERVICE_INSTANCE_FINALIZER: &str = "broker.platform.company.com/instance-cleanup";

/// Finalizer on a `ServiceBinding`; it leaves when its login is confirmed gone.
pub const SERVICE_BINDING_FINALIZER: &str = "broker.platform.company.com/binding-cleanup";

/// Annotation with the hash of the manifest that was last applied, see `kidp-provisioners`' `apply`.
pub const APPLIED_HASH_ANNOTATION: &str = "platform.company.com/applied-hash";

/// Annotation of a `ServiceInstance` with the `traceparent` of the request that its spec came with, see [`crate::trace`].
pub const TRACEPARENT_ANNOTATION: &str = "platform.company.com/traceparent";

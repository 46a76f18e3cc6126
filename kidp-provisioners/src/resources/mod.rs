//! One file a resource kind: the objects that every engine is built from.
//!
//! Nothing here knows an engine. A function takes the [`Scope`] of an instance, which gives every object its
//! name, labels and owner, and returns a typed object.

pub mod adopted;
pub mod certificate;
pub mod cloudnative_pg;
pub mod compute;
pub mod config_map;
pub mod container;
pub mod meta;
pub mod monitor;
pub mod network_policy;
pub mod pod_disruption_budget;
pub mod pod_security;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod stateful_set;

pub use meta::{Scope, object_meta};

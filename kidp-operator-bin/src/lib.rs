//! The KIDP operator: turns `Database`, `Cache` and `MessageQueue` objects into requests to brokers and keeps their
//! status true.
//!
//! | module | holds |
//! |---|---|
//! | [`config`], [`run`], [`controllers`] | the process |
//! | [`cache`], [`watch`], [`route`], [`queues`] | what is known of the cluster, and who looks at it when |
//! | [`kind`] | the kinds of service, behind one trait |
//! | [`resource`] | the main reconciler, generic over the kinds, one submodule a step |
//! | [`broker`], [`tenancy`] | the reconcilers of brokers, and of teams, tenants and applications |
//! | [`select`], [`queue`] | the choice of a broker, and whose turn it is: pure functions |
//! | [`broker_client`], [`receiver`] | the two directions of talk with brokers |
//! | [`costs`] | what resources are expected to cost, and what has been used |
//! | [`admission`] | what may be created at all: quotas, and who may be named |
//! | [`leader`], [`probes`] | replicas |
//! | [`metrics`], [`trace`] | what is counted, and which lines of the log belong together |

pub mod admission;
pub mod backoff;
pub mod broker;
pub mod broker_client;
pub mod cache;
pub mod config;
pub mod context;
pub mod controllers;
pub mod costs;
pub mod events;
pub mod kind;
pub mod kube_io;
pub mod leader;
pub mod metrics;
pub mod placements;
pub mod probes;
pub mod queue;
pub mod queues;
pub mod receiver;
pub mod resource;
pub mod route;
pub mod run;
pub mod select;
pub mod tenancy;
pub mod trace;
pub mod watch;

#[cfg(test)]
mod testing;

pub use config::Config;
pub use run::run;

//! Harness for tests of KIDP against a real cluster, used by the tests of this crate and by `cargo xtask demo`.
//!
//! [`host::Platform`] runs operator and broker as processes of this machine, each behind an [`proxy::ApiProxy`]
//! that counts its writes and can end the process right before or after one of them. [`pods`] runs both as
//! containers under their own service accounts.

pub mod callbacks;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod error;
pub mod fixtures;
pub mod helm;
pub mod host;
pub mod leaks;
pub mod pods;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod sql;
pub mod tenancy;
pub mod wait;

pub use error::Error;

/// Result of a harness call.
pub type Result<T> = std::result::Result<T, Error>;

#![doc = include_str!("../README.md")]

pub mod apply;
pub mod conformance;
pub mod engines;
pub mod instance;
pub mod manifests;
pub mod observe;
pub mod provisioner;
pub mod registry;
pub mod resources;

pub use apply::{ApplyError, Options};
pub use instance::{Credentials, Instance};
pub use manifests::{Applied, Manifests, Object, Prepared};
pub use observe::Observed;
pub use provisioner::{Capabilities, Connection, Deprovisioned, Provisioner, Readiness};
pub use registry::Registry;

/// The guide's code is compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sdk.md")]
mod guide {}

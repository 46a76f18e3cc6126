#![doc = include_str!("../README.md")]

pub mod adoption;
pub mod apply;
pub mod binding;
pub mod conformance;
pub mod consequence;
pub mod engines;
pub mod features;
pub mod instance;
pub mod manifests;
pub mod observe;
pub mod plan;
pub mod provisioner;
pub mod registry;
pub mod resources;
pub mod revision;
pub mod tls;

pub use adoption::{Adoption, Blocker};
pub use apply::{ApplyError, Options};
pub use binding::Binder;
pub use features::ClusterFeatures;
pub use instance::{Credentials, Instance};
pub use kidp_drift::{Change, Consequence, Drift, Unknown, UnknownReason};
pub use manifests::{Applied, Manifests, Object, Prepared};
pub use observe::Observed;
pub use plan::Plan;
pub use provisioner::{Capabilities, Connection, Deprovisioned, Provisioner, Readiness};
pub use registry::Registry;
pub use revision::Revision;
pub use tls::TlsMaterial;

/// The guide's code is compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sdk.md")]
mod guide {}

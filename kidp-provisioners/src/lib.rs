#![doc = include_str!("../README.md")]

pub mod apply;
pub mod engines;
pub mod instance;
pub mod manifests;
pub mod observe;
pub mod provisioner;
pub mod registry;
pub mod resources;

pub use instance::{Credentials, Instance};
pub use manifests::{Applied, Manifests, Prepared};
pub use provisioner::{Capabilities, Connection, Provisioner, Readiness};
pub use registry::Registry;

//! Rendered objects, in a type that says whether they have been applied.

use std::marker::PhantomData;

use thiserror::Error;

/// Rendered, not yet applied.
#[derive(Clone, Copy, Debug)]
pub enum Prepared {}
/// In the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Applied {}

/// The objects of one instance.
#[derive(Clone, Debug)]
pub struct Manifests<State> {
    /// `Kind/name` of the objects that this call wrote; empty while prepared and in steady state.
    pub written: Vec<String>,
    state: PhantomData<State>,
}

/// Why objects could not be rendered.
#[derive(Debug, Error)]
pub enum BuildError {
    /// An object could not be turned into JSON.
    #[error("cannot serialise {object}: {source}")]
    Serialise {
        /// `Kind/name`.
        object: String,
        /// The serialiser's error.
        source: serde_json::Error,
    },
}

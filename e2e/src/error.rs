//! What can go wrong in the harness itself.

use std::time::Duration;

/// A harness error; each says what it was waiting for or doing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster to talk to.
    #[error("no cluster: {0}; set KUBECONFIG, or run through `cargo xtask`")]
    NoCluster(String),
    /// The API server refused or did not answer.
    #[error("{doing}: {source}")]
    Kube {
        /// What was being done.
        doing: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// Something did not come about in time.
    #[error("waited {}s for {what}; last seen: {last}", .after.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// The last observation.
        last: String,
        /// The limit.
        after: Duration,
    },
    /// A file or process could not be handled.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A document could not be read.
    #[error("{doing}: {reason}")]
    Document {
        /// What was being read.
        doing: String,
        /// Why not.
        reason: String,
    },
    /// A pod of the test ended with an error.
    #[error("pod {pod} failed: {output}")]
    PodFailed {
        /// Its name.
        pod: String,
        /// What it printed.
        output: String,
    },
}

/// Adds what was being done to a client error.
pub trait Doing<T> {
    /// The same result, with the error explained.
    fn doing(self, what: impl Into<String>) -> crate::Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, kube::Error> {
    fn doing(self, what: impl Into<String>) -> crate::Result<T> {
        self.map_err(|source| Error::Kube {
            doing: what.into(),
            source: Box::new(source),
        })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl Into<String>) -> crate::Result<T> {
        self.map_err(|source| Error::Io {
            doing: what.into(),
            source,
        })
    }
}

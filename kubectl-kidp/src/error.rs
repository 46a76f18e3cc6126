//! What goes wrong, and the exit code that says so.

use std::path::PathBuf;
use std::time::Duration;

use kidp_core::instance::ResourceType;
use kidp_core::problem::{FieldError, summarise};
use thiserror::Error;

/// Result of a step of a command.
pub type Result<T> = std::result::Result<T, Error>;

/// What a command found, where it could find something at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be: exit code 0.
    Good,
    /// Looked at, and not as it should be: not ready, not valid, refused, different. Exit code 1.
    Bad,
}

/// Why a command could not do what it was asked for.
#[derive(Debug, Error)]
pub enum Error {
    /// The arguments do not go together. Correct them.
    #[error("{0}")]
    Usage(String),
    /// The kubeconfig cannot be used. Correct it, or name another with `--kubeconfig` or `--context`.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The API server, or what else was asked, refused or could not be reached.
    #[error("{doing}: {source}")]
    Kube {
        /// What was being done.
        doing: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// No answer came in time. Try again, or allow more with `--request-timeout`.
    #[error("{doing}: no answer within {} s", after.as_secs_f32())]
    Timeout {
        /// What was being done.
        doing: String,
        /// The limit.
        after: Duration,
    },
    /// It is not there.
    #[error("there is no {kind} `{name}` in namespace `{namespace}`")]
    NotFound {
        /// Its kind.
        kind: ResourceType,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Something that is needed is not there, or not yet. The text says what, and what to do.
    #[error("{0}")]
    Missing(String),
    /// A file, or the standard input or output, cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The input is not what it has to be.
    #[error("{}", summarise(.0))]
    Invalid(Vec<FieldError>),
    /// The API server refuses it; the text says why.
    #[error("{0}")]
    Refused(String),
    /// What was waited for did not come.
    #[error("{what} within {} s", after.as_secs())]
    Waited {
        /// What was waited for, and what was seen last.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The SDK could not look at, or render, an instance.
    #[error("{0}")]
    Sdk(String),
    /// A value could not be written as JSON or YAML.
    #[error("writing the answer: {0}")]
    Output(String),
}

impl Error {
    /// The exit code: 2 for wrong use, 4 for a wait that ran out, 1 for input that is refused, 3 for what could not be done.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Invalid(_) | Self::Refused(_) => 1,
            Self::Waited { .. } => 4,
            _ => 3,
        }
    }
}

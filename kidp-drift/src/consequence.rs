//! What a change does to an instance, as far as its users notice.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What applying a change does, from harmless to grave; the gravest of several is their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// Nothing that a client notices.
    #[default]
    None,
    /// The engine takes it on while it runs.
    Reload,
    /// Pods are replaced, one after another where there are several.
    RollingRestart,
    /// An object is deleted and made again; its data stays.
    Recreate,
    /// Data is lost.
    DataLoss,
}

impl Consequence {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Reload => "reload",
            Self::RollingRestart => "rolling restart",
            Self::Recreate => "recreate",
            Self::DataLoss => "data loss",
        }
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

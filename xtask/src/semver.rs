//! `cargo xtask semver`: whether the libraries are still what their version promises to those who depend on them.
//!
//! cargo-semver-checks compares the public interface of each with that of a commit, which `Cargo.toml` names under
//! `workspace.metadata.semver`. A change that breaks a dependent needs a new version (`0.x` until 1.0), and then the
//! baseline moves to it.

use std::time::Duration;

use serde_json::Value;

use crate::paths::checkout;
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use crate::tools::cargo_tool;

/// Version of cargo-semver-checks that is installed when there is none.
const VERSION: &str = "0.51.0";
/// What others depend on. Operator and broker are programs first.
const LIBRARIES: [&str; 4] = ["kidp-core", "kidp-drift", "kidp-provisioners", "kidp-callback"];
/// The libraries leave the version of Kubernetes to programs, and none is built here.
const KUBERNETES: (&str, &str) = ("K8S_OPENAPI_ENABLED_VERSION", "1.36");
const LIMIT: Duration = Duration::from_hours(1);

/// Why nothing is known of the interfaces, or what is wrong with them.
#[derive(Debug, thiserror::Error)]
pub enum SemverError {
    /// A program failed; for cargo-semver-checks, the end of what it found.
    #[error(transparent)]
    Program(#[from] ProcessError),
    /// `Cargo.toml` names no baseline.
    #[error("Cargo.toml has no workspace.metadata.semver.baseline, a commit to compare with")]
    NoBaseline,
    /// The checkout was made without its history, or with a part of it.
    #[error(
        "the commit {baseline} is not in this checkout; fetch the history, as with `git fetch --unshallow`"
    )]
    NoHistory {
        /// The commit.
        baseline: String,
    },
}

/// Compares every library with the baseline.
pub async fn run(progress: &Progress) -> Result<(), SemverError> {
    let baseline = baseline().await?;
    let known = Cmd::new("git")
        .args(["cat-file", "-e", &format!("{baseline}^{{commit}}")])
        .dir(checkout());
    if !known.succeeds().await {
        return Err(SemverError::NoHistory { baseline });
    }
    let program = cargo_tool("cargo-semver-checks", VERSION, &[], progress).await?;
    let mut check = Cmd::new(program)
        .args(["semver-checks", "check-release", "--baseline-rev", &baseline])
        .env(KUBERNETES.0, KUBERNETES.1)
        .dir(checkout())
        .reports()
        .timeout(LIMIT);
    for library in LIBRARIES {
        check = check.args(["--package", library]);
    }
    progress
        .step("the libraries' public interfaces", check.output())
        .await?;
    Ok(())
}

async fn baseline() -> Result<String, SemverError> {
    let metadata = Cmd::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .dir(checkout());
    let metadata: Value = serde_json::from_str(&metadata.output().await?).unwrap_or_default();
    let baseline = metadata
        .pointer("/metadata/semver/baseline")
        .and_then(Value::as_str);
    baseline.map(ToOwned::to_owned).ok_or(SemverError::NoBaseline)
}

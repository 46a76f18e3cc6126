//! `cargo xtask semver`: whether the libraries are still what their version promises to those who depend on them.
//!
//! cargo-semver-checks compares the public interface of each with that of the commit that brought the version which
//! `Cargo.toml` has now. A change that breaks a dependent needs a new version (`0.x` until 1.0), and is compared with
//! nothing until that is committed.

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
    /// The version of the workspace could not be told.
    #[error("Cargo.toml has no workspace.package.version")]
    NoVersion,
    /// No earlier commit has this version.
    #[error("version {version} came with this commit, or the checkout lacks the history before it")]
    NewVersion {
        /// The version.
        version: String,
    },
}

/// Compares every library with the baseline.
pub async fn run(progress: &Progress) -> Result<(), SemverError> {
    let version = version().await?;
    let Some(baseline) = baseline(&version).await? else {
        return Err(SemverError::NewVersion { version });
    };
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

/// The version that all crates of the workspace share.
async fn version() -> Result<String, SemverError> {
    let metadata = Cmd::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .dir(checkout());
    let metadata: Value = serde_json::from_str(&metadata.output().await?).unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let version = packages
        .filter(|package| LIBRARIES.iter().any(|library| package["name"] == *library))
        .find_map(|package| package["version"].as_str());
    version.map(ToOwned::to_owned).ok_or(SemverError::NoVersion)
}

/// The first commit with this version, unless that is the present one.
async fn baseline(version: &str) -> Result<Option<String>, SemverError> {
    let pattern = format!("-G^version = \"{}\"$", version.replace('.', "[.]"));
    let git = |arguments: &[&str]| Cmd::new("git").args(arguments.iter().copied()).dir(checkout());
    let found = git(&["log", "--reverse", "--format=%H", &pattern, "--", "Cargo.toml"]).output();
    let head = git(&["rev-parse", "HEAD"]).output();
    Ok(first_before(&found.await?, &head.await?))
}

/// The first of these commits, a line each, if it is not the present one.
fn first_before(commits: &str, head: &str) -> Option<String> {
    let first = commits.lines().next()?.trim();
    (first != head.trim()).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_with_the_commit_that_brought_it() {
        assert_eq!(first_before("a1\nb2\n", "b2\n").as_deref(), Some("a1"));
        assert_eq!(first_before("b2\n", "b2\n"), None);
        assert_eq!(first_before("", "b2\n"), None);
    }
}

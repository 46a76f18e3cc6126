//! What needs no cluster: lint, licences, interfaces, tests, the documents' examples, fuzzing.

use super::step::{cargo, shown};
use super::{CheckError, start};
use crate::fuzz;
use crate::process::Cmd;
use crate::programs::{self, Program};
use crate::progress::Progress;
use crate::semver::{self, SemverError};
use crate::tools::cargo_tool;

/// Version of cargo-deny that is installed when there is none.
const CARGO_DENY: &str = "0.20.2";
/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 10;

/// Runs all of it, what is built already first.
pub async fn run(tests: &[Program], progress: &Progress) -> Result<(), CheckError> {
    for program in tests {
        let step = format!("{}: {}", program.package, program.name);
        shown(&step, start(program)).await?;
    }
    let all = ["--locked", "--workspace", "--features", programs::FEATURES];
    let documented = [&["test", "--doc"], &all[..]].concat();
    cargo("examples in the documentation", &documented).await?;
    let lint = [&["clippy", "--all-targets"], &all[..], &["--", "-D", "warnings"]].concat();
    cargo("lint", &lint).await?;
    licences(progress).await?;
    match semver::run(progress).await {
        // A new version, or a download of the sources: there is nothing to compare with.
        Err(error @ SemverError::NewVersion { .. }) => {
            progress.note(&format!("interfaces not compared: {error}"));
        }
        outcome => outcome?,
    }
    let short = fuzz::Options {
        seconds: FUZZ_SECONDS,
        only: Vec::new(),
    };
    fuzz::run(&short, progress).await?;
    Ok(())
}

/// Licences, sources and duplicates of what is depended on. Advisories need a database from outside the package
/// registries: `cargo deny check advisories` by hand.
async fn licences(progress: &Progress) -> Result<(), CheckError> {
    // The licences of crates for other platforms count too, and a build does not bring those here.
    cargo("crates of every platform", &["fetch", "--locked"]).await?;
    let deny = cargo_tool("cargo-deny", CARGO_DENY, &["--no-default-features"], progress).await?;
    let rules = Cmd::new(deny)
        .args(["--locked", "--offline", "check", "bans", "licenses", "sources"])
        .dir(crate::paths::checkout());
    progress
        .step("licences, sources and duplicates", rules.output())
        .await?;
    Ok(())
}

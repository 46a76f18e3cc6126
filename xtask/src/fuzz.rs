//! `cargo xtask fuzz`: a short run of every fuzz target, from the inputs in `fuzz/corpus`.
//!
//! Without a sanitizer, so that the stable toolchain of this checkout does: coverage guides the search all the same, and
//! what is looked for in code without `unsafe` are panics, overflows, hangs and broken promises. What a run finds to be
//! new is kept in the cache and is where the next one starts; an input that breaks a target is kept there too and named.

use std::path::PathBuf;
use std::time::Duration;

use crate::devcluster;
use crate::paths::{Layout, checkout};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use crate::tools::cargo_tool;

/// Version of cargo-fuzz that is installed when there is none.
const VERSION: &str = "0.13.2";
/// Every target.
pub const TARGETS: [&str; 3] = ["request", "signature", "callback"];
/// Longest input, in bytes: with longer ones fewer are tried.
const MAX_LEN: usize = 4096;
/// Longest that one input takes, in seconds.
const INPUT_LIMIT: usize = 5;
/// Longest that building takes.
const BUILD_LIMIT: Duration = Duration::from_hours(1);

/// How long, and what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Only these targets.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

/// Why the run ended.
#[derive(Debug, thiserror::Error)]
pub enum FuzzError {
    /// There is no such target.
    #[error("there is no target `{name}`; there are: {}", TARGETS.join(", "))]
    Unknown {
        /// What was named.
        name: String,
    },
    /// A folder cannot be made.
    #[error("{folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no C++ compiler, and none could be installed.
    #[error(transparent)]
    Compiler(#[from] devcluster::Error),
    /// A program failed. Where it is a target, an input broke it: the end of its output names the file.
    #[error(transparent)]
    Program(#[from] ProcessError),
}

/// Builds and runs the targets, one after the other.
pub async fn run(options: &Options, progress: &Progress) -> Result<(), FuzzError> {
    if let Some(unknown) = options.only.iter().find(|name| !TARGETS.contains(&name.as_str())) {
        return Err(FuzzError::Unknown {
            name: unknown.clone(),
        });
    }
    // libFuzzer itself is C++.
    if !Cmd::new("c++").arg("--version").succeeds().await {
        let install = devcluster::install_packages(&["g++"]);
        progress.step("installing g++", install).await?;
    }
    let program = cargo_tool("cargo-fuzz", VERSION, &[], progress).await?;
    let cache = Layout::from_env().cache.join("fuzz");
    let build = cargo_fuzz(&program, "build", &cache)
        .reports()
        .timeout(BUILD_LIMIT);
    progress.step("building the fuzz targets", build.output()).await?;
    let chosen = |name: &&str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    for target in TARGETS.iter().filter(|name| chosen(name)) {
        let limit = Duration::from_secs(u64::from(options.seconds));
        let run = one(&program, target, options.seconds, &cache)?
            .reports()
            .timeout(limit + BUILD_LIMIT);
        progress
            .step(
                &format!("fuzzing {target} for {} s", options.seconds),
                run.output(),
            )
            .await?;
    }
    Ok(())
}

/// `cargo fuzz` of this checkout, with what it builds in the cache.
fn cargo_fuzz(program: &PathBuf, command: &str, cache: &std::path::Path) -> Cmd {
    Cmd::new(program)
        .args([
            command,
            "--dev",
            "--sanitizer",
            "none",
            "--fuzz-dir",
            "fuzz",
            "--target-dir",
        ])
        .arg(cache.join("target"))
        .dir(checkout())
}

fn one(program: &PathBuf, target: &str, seconds: u32, cache: &std::path::Path) -> Result<Cmd, FuzzError> {
    let found = cache.join("corpus").join(target);
    let broken = cache.join("artifacts").join(target);
    for folder in [&found, &broken] {
        std::fs::create_dir_all(folder).map_err(|source| FuzzError::Folder {
            folder: folder.clone(),
            source,
        })?;
    }
    Ok(cargo_fuzz(program, "run", cache)
        .arg(target)
        .arg(&found)
        .arg(checkout().join("fuzz/corpus").join(target))
        .arg("--")
        .args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={MAX_LEN}"),
            format!("-timeout={INPUT_LIMIT}"),
            "-print_final_stats=1".to_owned(),
            format!("-artifact_prefix={}/", broken.display()),
        ]))
}

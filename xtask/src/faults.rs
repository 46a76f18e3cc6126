//! `cargo xtask faults`: operator and broker against a model of their clusters, with a fault at every request.
//!
//! It starts an example of `kidp-faults`: only tests and examples of that package are built with the faults that are
//! planted on purpose, and nothing that is shipped is.

use std::process::Stdio;

use clap::Args;

use crate::paths::checkout;
use crate::report::{self, ReportError};

/// Marks of the tables in the document.
const SECTION: &str = "faults";

/// What is run.
#[derive(Debug, Args)]
pub struct Options {
    /// What the plans by chance are drawn with.
    #[arg(long)]
    seed: Option<u64>,
    /// How many plans; more than there are single faults means every one of them.
    #[arg(long)]
    plans: Option<u64>,
    /// Only the planted faults.
    #[arg(long)]
    planted: bool,
    /// Runs the plan by chance of this seed alone, and prints what happened.
    #[arg(long)]
    replay: Option<u64>,
    /// Writes the tables to `docs/reliability.md`.
    #[arg(long, conflicts_with = "replay")]
    write: bool,
}

/// The campaign could not be started, or found something.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// `cargo` could not be started.
    #[error("cannot run cargo: {0}")]
    Start(#[from] std::io::Error),
    /// The tables could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A rule was broken, or a planted fault not found; which is told above.
    #[error("a rule was broken, or a planted fault was not found; see above")]
    Found,
}

/// Runs the campaign; its tables go to the terminal.
pub async fn run(options: &Options) -> Result<(), FaultsError> {
    let number = |flag: &str, value: Option<u64>| value.map(|value| format!("--{flag}={value}"));
    let switch = |flag: &str, on: bool| on.then(|| format!("--{flag}"));
    let args = [
        number("seed", options.seed),
        number("plans", options.plans),
        number("replay", options.replay),
        switch("planted", options.planted),
    ];
    let ended = tokio::process::Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--locked",
            "--package",
            "kidp-faults",
            "--example",
            "faults",
            "--",
        ])
        .args(args.into_iter().flatten())
        .current_dir(checkout())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&ended.stdout);
    println!("{said}");
    if options.write {
        report::write_section(&checkout().join("docs/reliability.md"), SECTION, &said)?;
    }
    if ended.status.success() {
        Ok(())
    } else {
        Err(FaultsError::Found)
    }
}

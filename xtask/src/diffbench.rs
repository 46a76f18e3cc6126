//! `cargo xtask diffbench`: what comparing desired with live objects costs, beside structured-merge-diff, the library
//! by which the API server merges. Both read the same files, in turns, and have to find the same number of changes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::figures::median;
use crate::paths::checkout;
use crate::process::Cmd;
use crate::progress::Progress;
use crate::rendering::measure::{Run, Taken};
use crate::rendering::{self, BenchError};
use crate::report;
use crate::tools::go_twins;

/// Where the result goes with `--write`.
const REPORT: &str = "docs/performance.md";
const LIMIT: std::time::Duration = std::time::Duration::from_mins(20);

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Runs of each, in turns; their median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Comparisons in a run.
    #[arg(long, default_value_t = 5_000)]
    comparisons: u32,
    /// Instances of a sweep, of seven objects each.
    #[arg(long, default_value_t = 10_000)]
    instances: u32,
    /// Write the result to `docs/performance.md`.
    #[arg(long)]
    write: bool,
}

/// A figure of a run.
type Figure = fn(&Taken) -> f64;

/// The two programs, and the objects that both read.
struct Peers<'a> {
    kidp: PathBuf,
    twin: PathBuf,
    folder: &'a Path,
}

/// Measures, and prints the tables.
pub async fn run(options: &Options) -> Result<(), BenchError> {
    let progress = Progress::default();
    let kidp = rendering::build(&progress, "compare").await?;
    let twins = progress.step("building the twin", go_twins(&["./diff"])).await?;
    let folder = tempfile::tempdir().map_err(BenchError::io(&std::env::temp_dir()))?;
    let peers = Peers {
        kidp,
        twin: twins.join("diff"),
        folder: folder.path(),
    };
    Cmd::new(&peers.kidp)
        .arg("write")
        .arg(peers.folder)
        .output()
        .await?;
    let mut text = heading(options);
    let times = progress.step("comparing", times(&peers, options)).await?;
    text.push_str(&times);
    let sweeps = progress.step("sweeping", sweeps(&peers, options)).await?;
    text.push_str(&sweeps);
    println!("{text}");
    if options.write {
        report::write_section(&checkout().join(REPORT), "diffbench", &text)?;
    }
    Ok(())
}

fn heading(options: &Options) -> String {
    format!(
        "## Comparing desired and live objects\n\nWritten by `cargo xtask diffbench --write`; each figure is the median \
         of {} runs, taken in turns on one machine. The twin is a Go program on structured-merge-diff with client-go's \
         schema (typed, not deduced). It converts both objects, compares them and, where they differ, finds the owners \
         of the fields. Both find the same number of changes, or there is no table.\n\n",
        options.rounds
    )
}

impl Peers<'_> {
    /// Microseconds and changes of one run.
    async fn time(&self, program: &Path, what: &str, count: u32) -> Result<[f64; 2], BenchError> {
        let count = count.to_string();
        let run = Cmd::new(program).arg(what).arg(self.folder).arg(&count);
        let answer = run.timeout(LIMIT).output().await?;
        let numbers: Vec<f64> = answer
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        match numbers.as_slice() {
            [nanoseconds, changes] => Ok([nanoseconds / 1000.0, *changes]),
            _ => Err(self.answer(what, answer)),
        }
    }

    fn answer(&self, what: &str, answer: String) -> BenchError {
        let program = format!("{} and its twin, {what}", self.kidp.display());
        BenchError::Answer { program, answer }
    }

    /// Medians of both in microseconds, where they agree on the number of changes.
    async fn both(&self, names: [&str; 2], options: &Options) -> Result<[f64; 2], BenchError> {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..options.rounds {
            let mut changes = Vec::new();
            for ((taken, program), name) in taken.iter_mut().zip([&self.kidp, &self.twin]).zip(names) {
                let [microseconds, found] = self.time(program, name, options.comparisons).await?;
                taken.push(microseconds);
                changes.push(found.to_string());
            }
            if changes.first() != changes.last() {
                return Err(self.answer(names[0], changes.join(" and ")));
            }
        }
        Ok(taken.map(median))
    }
}

async fn times(peers: &Peers<'_>, options: &Options) -> Result<String, BenchError> {
    let mut table = "| | KIDP, µs | twin, µs | ratio |\n|---|---|---|---|\n".to_owned();
    for (title, names) in [
        ("an unchanged StatefulSet", ["one", "one"]),
        ("the same, the twin's conversion not counted", ["one", "typed"]),
        (
            "a StatefulSet changed in two fields, with authors",
            ["changed", "changed"],
        ),
        (
            "the seven unchanged objects of an instance",
            ["unchanged", "unchanged"],
        ),
    ] {
        let [kidp, twin] = peers.both(names, options).await?;
        let _ = writeln!(table, "| {title} | {kidp:.1} | {twin:.1} | {:.1} |", twin / kidp);
    }
    Ok(table)
}

/// A sweep decodes the objects of every instance, as read from the API server, and compares them.
async fn sweeps(peers: &Peers<'_>, options: &Options) -> Result<String, BenchError> {
    let count = options.instances.to_string();
    let mut taken: [Vec<Taken>; 2] = [Vec::new(), Vec::new()];
    let mut found = Vec::new();
    for program in [&peers.kidp, &peers.twin] {
        let run = Cmd::new(program).arg("sweep").arg(peers.folder).arg("100");
        found.push(run.timeout(LIMIT).output().await?);
    }
    if found.first().map(|text| text.trim()) != found.last().map(|text| text.trim()) {
        return Err(peers.answer("sweep", found.join(" and ")));
    }
    // A sweep takes seconds: fewer of them tell as much.
    for _ in 0..options.rounds.div_ceil(2) {
        for (taken, program) in taken.iter_mut().zip([&peers.kidp, &peers.twin]) {
            let folder = peers.folder.display().to_string();
            taken.push(Run::new(program, &["sweep", &folder, &count]).measure().await?);
        }
    }
    Ok(sweep_table(options, &taken))
}

fn sweep_table(options: &Options, taken: &[Vec<Taken>; 2]) -> String {
    let mut table = format!(
        "\nA sweep over {} instances: their seven objects are decoded from JSON, desired and live, and compared; one \
         instance in a hundred is changed. Neither holds more than one instance \
         at a time.\n\n\
         | | KIDP | twin | ratio |\n|---|---|---|---|\n",
        options.instances
    );
    let rows: [(&str, Figure); 3] = [
        ("seconds", |taken| taken.milliseconds / 1000.0),
        ("processor seconds", |taken| taken.cpu_milliseconds / 1000.0),
        ("most memory, MiB", |taken| taken.peak_kib / 1024.0),
    ];
    for (title, figure) in rows {
        let [kidp, twin] = [0, 1].map(|side: usize| median(taken[side].iter().map(figure).collect()));
        let _ = writeln!(table, "| {title} | {kidp:.2} | {twin:.2} | {:.1} |", twin / kidp);
    }
    table
}

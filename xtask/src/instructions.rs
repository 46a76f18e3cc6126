//! `cargo xtask instructions`: how many instructions the hot pure functions take, counted by callgrind. Where a time
//! needs a quiet machine, a count is the same however busy it is, so that a change of a per cent shows.
//!
//! A report: it prints each count beside the one that is written in `docs/performance.md`, and fails nobody. Compilers and
//! libraries change counts too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::devcluster::{self, packages};
use crate::paths::checkout;
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use crate::report::{self, ReportError};
use crate::tools::cargo_tool;

/// Version of the library, and so of its runner.
const RUNNER: &str = "0.20.0";
const REPORT: &str = "docs/performance.md";
const SECTION: &str = "instructions";
/// An optimised build is part of it.
const LIMIT: Duration = Duration::from_mins(40);

/// Each function with its words in the table, and the yardstick that it is a ratio to.
const ROWS: [(&str, &str, &str); 8] = [
    (
        "objects_to_json",
        "*yardstick: its seven objects to JSON text*",
        "objects_to_json",
    ),
    ("validate", "validating an instance", "objects_to_json"),
    ("build", "rendering it", "objects_to_json"),
    (
        "diff_unchanged",
        "comparing its unchanged objects",
        "objects_to_json",
    ),
    (
        "diff_changed",
        "the same, two fields changed by others",
        "objects_to_json",
    ),
    (
        "additions",
        "looking for what others added to them",
        "objects_to_json",
    ),
    (
        "brokers_to_json",
        "*yardstick: 100 brokers to JSON text*",
        "brokers_to_json",
    ),
    ("select", "choosing one of them", "brokers_to_json"),
];

/// What the command can be told.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Write the table to `docs/performance.md`.
    #[arg(long)]
    write: bool,
}

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
pub enum InstructionsError {
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProcessError),
    /// valgrind could not be installed.
    #[error(transparent)]
    Package(#[from] devcluster::Error),
    /// The table could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The counts are not what the runner of this version prints.
    #[error("no count of {0} in what the runner printed")]
    NoCount(String),
}

/// Counts, prints, and with `--write` records.
pub async fn run(options: &Options, progress: &Progress) -> Result<(), InstructionsError> {
    if !Cmd::new("valgrind").arg("--version").succeeds().await {
        let install = packages::install(&["valgrind"]);
        progress.step("installing valgrind", install).await?;
    }
    let runner = cargo_tool("gungraun-runner", RUNNER, &[], progress).await?;
    let bench = Cmd::new("cargo")
        .args([
            "bench",
            "--locked",
            "-p",
            "kidp-benches",
            "--bench",
            "instructions",
        ])
        .args(["--", "--output-format=json"])
        .env("GUNGRAUN_RUNNER", runner)
        .dir(checkout())
        .reports()
        .timeout(LIMIT);
    let said = progress.step("counting instructions", bench.output()).await?;
    let now = counts(&said)?;
    let document = std::fs::read_to_string(checkout().join(REPORT)).unwrap_or_default();
    println!("{}", table(&now, &written(&document))?);
    if options.write {
        let text = table(&now, &BTreeMap::new())?;
        report::write_section(&checkout().join(REPORT), SECTION, &text)?;
    }
    Ok(())
}

/// Instructions by function, from one JSON summary a line.
fn counts(said: &str) -> Result<BTreeMap<String, u64>, InstructionsError> {
    let summaries = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = BTreeMap::new();
    for summary in summaries {
        let name = summary["function_name"].as_str().unwrap_or_default();
        let metrics = &summary["profiles"][0]["data"]["total"]["metrics"];
        let count = metrics["Ir"]["values"]["new"].as_u64();
        // Nothing is counted of a function that callgrind does not find.
        let count = count.filter(|count| *count > 0);
        let count = count.ok_or_else(|| InstructionsError::NoCount(name.to_owned()))?;
        found.insert(name.to_owned(), count);
    }
    Ok(found)
}

/// Counts as they stand in the document, by the words of their row.
fn written(document: &str) -> BTreeMap<String, u64> {
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let words = cells.next()?;
        let count = cells.next()?.replace(' ', "").parse().ok()?;
        ROWS.iter()
            .any(|(_, known, _)| *known == words)
            .then(|| (words.to_owned(), count))
    });
    rows.collect()
}

/// The table; with a column of changes where there are counts from before.
fn table(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> Result<String, InstructionsError> {
    let of = |name: &str| {
        now.get(name)
            .copied()
            .ok_or_else(|| InstructionsError::NoCount(name.to_owned()))
    };
    let mut text = String::from(
        "## Instructions\n\nWritten by `cargo xtask instructions --write`: counted by callgrind, optimised build, one call. The \
         ratio is to the yardstick above it.\n\n| | instructions | ratio |",
    );
    let compares = !before.is_empty();
    text.push_str(if compares {
        " written | change |\n|---|---|---|---|---|\n"
    } else {
        "\n|---|---|---|\n"
    });
    for (name, words, yardstick) in ROWS {
        let (count, unit) = (of(name)?, of(yardstick)?);
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "| {words} | {} | {:.2} |",
            spaced(count),
            ratio(count, unit)
        );
        if compares {
            let change = before.get(words).map(|old| {
                let percent = (ratio(count, *old) - 1.0) * 100.0;
                format!(" {} | {percent:+.1}% |", spaced(*old))
            });
            text.push_str(&change.unwrap_or_else(|| " | new |".to_owned()));
        }
        text.push('\n');
    }
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "counts of some million")]
fn ratio(count: u64, unit: u64) -> f64 {
    count as f64 / unit.max(1) as f64
}

/// `1234567` as `1 234 567`.
fn spaced(count: u64) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_none_is_nothing() {
        let summary = |name: &str, count: u64| {
            let metrics = serde_json::json!({"Ir": {"values": {"new": count, "old": 1}}});
            serde_json::json!({"function_name": name, "profiles": [{"data": {"total": {"metrics": metrics}}}]})
                .to_string()
        };
        let said = format!("Compiling\n{}\n{}\n", summary("build", 7), summary("select", 8));
        let found = counts(&said).unwrap();
        assert_eq!((found["build"], found["select"]), (7, 8));
        assert!(counts(&summary("build", 0)).is_err());
    }

    #[test]
    fn a_written_table_is_read_back_and_compared() {
        let now: BTreeMap<_, _> = ROWS
            .iter()
            .map(|(name, ..)| ((*name).to_owned(), 1_234_567))
            .collect();
        let text = table(&now, &BTreeMap::new()).unwrap();
        let before = written(&text);
        assert_eq!(before.len(), ROWS.len());
        assert_eq!(before["rendering it"], 1_234_567);
        assert!(text.contains("| rendering it | 1 234 567 | 1.00 |\n"));

        let mut more = now;
        more.insert("build".to_owned(), 1_358_024);
        assert!(
            table(&more, &before)
                .unwrap()
                .contains("| rendering it | 1 358 024 | 1.10 | 1 234 567 | +10.0% |")
        );
    }
}

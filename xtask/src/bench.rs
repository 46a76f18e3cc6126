//! `cargo xtask bench`: all measurements, one after the other, each as its own command makes it, and a table of what they
//! come to beside their goals. With `--write` each fills its place in the documents, and the table that in
//! `docs/performance.md`.

use clap::{Args, Command};

use crate::figures;
use crate::paths::checkout;
use crate::report::{self, ReportError};
use crate::{diffbench, load, perf, rendering, scale};

/// What the measurement can be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write the results to the documents.
    #[arg(long)]
    write: bool,
}

/// Which measurement failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Rendering, or comparing.
    #[error(transparent)]
    Rendering(#[from] rendering::BenchError),
    /// The time to a usable database.
    #[error(transparent)]
    Perf(#[from] perf::PerfError),
    /// The accept path, or callbacks.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// Many databases.
    #[error(transparent)]
    Scale(#[from] scale::ScaleError),
    /// A command's own defaults are not what it takes.
    #[error(transparent)]
    Options(#[from] clap::Error),
    /// The table could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Measures everything, prints the table, and with `--write` records it.
pub async fn run(options: &Options) -> Result<(), BenchError> {
    let mut goals = rendering::run(&defaults(options)?).await?;
    diffbench::run(&defaults(options)?).await?;
    goals.extend(Box::pin(perf::run(&defaults(options)?)).await?);
    goals.extend(Box::pin(load::run(&defaults(options)?)).await?);
    goals.extend(Box::pin(scale::run(&defaults(options)?)).await?);
    let table = format!(
        "Written by `cargo xtask bench --write`.\n\n{}",
        figures::goals(&goals)
    );
    println!("{table}");
    if options.write {
        report::write_section(&checkout().join("docs/performance.md"), "goals", &table)?;
    }
    Ok(())
}

/// The options of a measurement as its command has them without any, but for `--write`.
fn defaults<O: Args>(options: &Options) -> Result<O, BenchError> {
    let command = O::augment_args(Command::new("bench"));
    let write = options.write.then_some("--write");
    let matches = command.try_get_matches_from(std::iter::once("bench").chain(write))?;
    Ok(O::from_arg_matches(&matches)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measurement_has_defaults_and_can_write() {
        for write in [false, true] {
            let options = Options { write };
            defaults::<rendering::Options>(&options).unwrap();
            defaults::<diffbench::Options>(&options).unwrap();
            defaults::<perf::Options>(&options).unwrap();
            defaults::<load::Options>(&options).unwrap();
            defaults::<scale::Options>(&options).unwrap();
        }
    }
}

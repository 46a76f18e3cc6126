//! Runs the campaign and prints its tables, and on the other stream what is not for the document; `cargo xtask faults`
//! starts it.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use kidp_core::mutation::plant;
use kidp_faults::campaign::{self, Bench};
use kidp_faults::report;

/// Runs operator and broker against a model of their clusters, with a fault at every request.
#[derive(Debug, Parser)]
struct Options {
    /// What the plans by chance are drawn with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many plans; more than there are single faults means every one of them.
    #[arg(long, default_value_t = 2_250)]
    plans: usize,
    /// Only the planted faults.
    #[arg(long)]
    planted: bool,
    /// Runs the plan by chance of this seed alone, and prints what happened and what the programs logged.
    #[arg(long)]
    replay: Option<u64>,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let options = Options::parse();
    let begun = Instant::now();
    let baselines = campaign::baselines(plant)?;
    for (scenario, outcome) in baselines.iter().filter(|(_, o)| !o.violations.is_empty()) {
        eprintln!("{} without faults: {:?}", scenario.name, outcome.violations);
    }
    if let Some(seed) = options.replay {
        let known: Vec<_> = baselines.into_iter().map(|(s, o)| (s, o.sites)).collect();
        let (bench, job) = (
            Bench::new(&campaign::plain()?, plant),
            campaign::random(seed, &known),
        );
        let outcome = bench.run(&job, None)?;
        println!(
            "{}\n{}\n{:#?}\n{:#?}",
            outcome.log,
            job.describe(),
            outcome.fired,
            outcome.violations
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut sound = true;
    if !options.planted {
        let jobs = campaign::bounded(&baselines, options.plans, options.seed);
        let tally = campaign::run_all(&jobs, plant)?;
        sound = tally.broken.is_empty();
        text = format!(
            "{} distinct plans with {} violations, seed {}; {} requests, messages and changes passed the gate.\n\n{}\n",
            tally.distinct.len(),
            tally.broken.len(),
            options.seed,
            tally.sites,
            report::plans(&tally)
        );
        eprint!("{}", report::broken(&tally, 20));
    }
    let finds = campaign::find_planted(&baselines, plant)?;
    let found = finds.iter().filter(|find| !find.rules.is_empty()).count();
    let _ = writeln!(
        text,
        "{found} of {} planted faults found.\n\n{}",
        finds.len(),
        report::planted(&finds).trim_end()
    );
    println!("{text}");
    eprintln!("{} s", begun.elapsed().as_secs());
    Ok(if sound && found == finds.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

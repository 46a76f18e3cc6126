#![doc = include_str!("../README.md")]

pub mod adopt;
pub mod catalog;
pub mod cli;
pub mod connect;
pub mod costs;
pub mod create;
pub mod documents;
pub mod drift;
pub mod error;
pub mod forward;
pub mod kinds;
pub mod output;
pub mod plan;
pub mod record;
pub mod session;
pub mod status;
pub mod validate;
pub mod wait;

use clap::CommandFactory as _;
use cli::{Cli, Command};
use error::{Result, Verdict};

/// Runs a command.
pub async fn run(cli: Cli) -> Result<Verdict> {
    let global = &cli.global;
    match cli.command {
        Command::Status { resource } => Box::pin(status::run(global, &resource)).await,
        Command::Create(args) => Box::pin(create::run(global, &args)).await,
        Command::Wait { resource, timeout } => Box::pin(wait::run(global, &resource, timeout)).await,
        Command::Validate { filename, without } => validate::run(global, &filename, &without),
        Command::Plan {
            filename,
            against,
            live,
        } => Box::pin(plan::run(global, &filename, &against, live)).await,
        Command::Catalog { without } => catalog::run(global, &without),
        Command::Drift { resource } => Box::pin(drift::run(global, &resource)).await,
        Command::Adopt(args) => Box::pin(adopt::run(global, &args)).await,
        Command::Connect(args) => Box::pin(connect::run(global, &args)).await,
        Command::Estimate(args) => Box::pin(costs::estimate(global, &args)).await,
        Command::Costs(args) => Box::pin(costs::report(global, &args)).await,
        Command::Completion { shell } => completion(shell),
    }
}

fn completion(shell: clap_complete::Shell) -> Result<Verdict> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubectl-kidp", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Verdict::Good)
}

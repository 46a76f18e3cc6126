//! The program: reads the command line, runs the command, and turns what came of it into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use kubectl_kidp::cli::Cli;
use kubectl_kidp::error::Verdict;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match kubectl_kidp::run(Cli::parse()).await {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {}", kubectl_kidp::output::line(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}

//! The KIDP operator process.

use std::process::ExitCode;

use clap::Parser;
use kidp_operator::{Config, logging, run};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    logging::start(&config);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the operator cannot go on");
            ExitCode::FAILURE
        }
    }
}

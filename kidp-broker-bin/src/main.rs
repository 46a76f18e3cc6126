//! The broker's process: reads the configuration and runs until it is told to stop.

use std::process::ExitCode;

use clap::Parser as _;
use kidp_broker::config::{Command, Config};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    kidp_broker::telemetry::init(&config);
    let outcome = match config.command {
        Some(Command::RotateKey) => kidp_broker::rotate_key(&config).await,
        None => kidp_broker::run(config).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the broker cannot run");
            ExitCode::FAILURE
        }
    }
}

//! The broker's process: reads the configuration and runs until it is told to stop.

use std::process::ExitCode;

use clap::Parser as _;
use kidp_broker::config::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    kidp_broker::telemetry::init(&config);
    match kidp_broker::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the broker cannot run");
            ExitCode::FAILURE
        }
    }
}

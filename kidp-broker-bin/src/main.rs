//! The broker's process: reads the configuration and runs until it is told to stop.

use std::process::ExitCode;

use clap::Parser as _;
use kidp_broker::config::{Command, Config};
use kidp_telemetry::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = kidp_telemetry::start(&Settings {
        service: "kidp-broker",
        version: env!("CARGO_PKG_VERSION"),
        instance: Some(&config.name),
        always: &["audit"],
        config: &config.telemetry,
    });
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("the broker cannot run: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match config.command {
        Some(Command::RotateKey) => kidp_broker::rotate_key(&config).await,
        None => kidp_broker::run(config).await,
    };
    if let Err(error) = &outcome {
        tracing::error!(%error, "the broker cannot run");
    }
    telemetry.stop().await;
    if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

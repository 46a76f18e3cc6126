//! The KIDP operator process.

use std::process::ExitCode;

use clap::Parser;
use kidp_operator::{Config, run};
use kidp_telemetry::Settings;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    let telemetry = kidp_telemetry::start(&Settings {
        service: "kidp-operator",
        version: env!("CARGO_PKG_VERSION"),
        instance: config.identity.as_deref(),
        always: &[],
        config: &config.telemetry,
    });
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("the operator cannot run: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = run(config).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the operator cannot go on");
    }
    telemetry.stop().await;
    if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

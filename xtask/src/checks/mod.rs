//! `cargo xtask test`: every check and test there is.
//!
//! Everything is built first, once. Then two things go on side by side: what needs a cluster, most of whose time goes by
//! in waiting for engines, and, standing back where both want a processor, what needs none. The first failure of either
//! ends both, and the cluster is told of and taken down as after a good end.

mod anywhere;
mod aside;
mod cluster;
mod step;

use tokio_util::sync::CancellationToken;

use crate::chaos::ChaosError;
use crate::charts::ChartsError;
use crate::devcluster;
use crate::fuzz::FuzzError;
use crate::images;
use crate::monitoring::MonitoringError;
use crate::platform;
use crate::programs::{self, Program};
use crate::progress::Progress;
use crate::semver::SemverError;
use step::cargo;

/// Why the run ended early.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A step failed; its output is above.
    #[error("{step} failed ({status}); its output is above")]
    Step {
        /// The step.
        step: String,
        /// How its program ended.
        status: String,
    },
    /// A program could not be started or did not end.
    #[error("{step}: {reason}")]
    Run {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// An engine's image could not be made.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// A public interface has changed in a way that breaks dependents.
    #[error(transparent)]
    Semver(#[from] SemverError),
    /// A promise was broken under faults, or the faults could not be made.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// A fuzz target was broken by an input, or could not be built.
    #[error(transparent)]
    Fuzz(#[from] FuzzError),
    /// Rules or dashboards are not sound, or an alert does not fire as its test says.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// The manifests are not what the charts render.
    #[error(transparent)]
    Charts(#[from] ChartsError),
    /// A tool could not be installed.
    #[error(transparent)]
    Tool(#[from] crate::process::ProcessError),
}

/// Runs everything. With `offline_only`, what needs no cluster.
pub async fn run(offline_only: bool) -> Result<(), CheckError> {
    let progress = Progress::default();
    cargo("format", &["fmt", "--all", "--check"]).await?;
    let built = progress
        .step("building programs and tests", programs::build())
        .await?;
    let (on_cluster, anywhere): (Vec<_>, Vec<_>) = built.into_iter().partition(|p| p.cluster);
    if offline_only {
        return anywhere::run(&anywhere, &progress).await;
    }
    let stop = CancellationToken::new();
    let aside = until_failure(&stop, aside::run());
    let (aside, cluster) = tokio::join!(aside, cluster::run(&stop, on_cluster, &progress));
    aside?;
    cluster?;
    progress.note("all checks passed");
    Ok(())
}

/// Does work until it ends or something else has failed; its own failure stops the others.
async fn until_failure(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), CheckError>>,
) -> Result<(), CheckError> {
    let outcome = stop.run_until_cancelled(Box::pin(work)).await;
    if matches!(outcome, Some(Err(_))) {
        stop.cancel();
    }
    // What was stopped has not failed: what stopped it has, and says so.
    outcome.unwrap_or(Ok(()))
}

/// A test program in the surroundings that cargo would give it.
fn start(program: &Program) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&program.path);
    command
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> CheckError {
        CheckError::Run {
            step: "a step".to_owned(),
            reason: "no".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_failure_stops_what_goes_on_beside_it_and_is_the_only_one_told() {
        let stop = CancellationToken::new();
        let endless = until_failure(&stop, std::future::pending());
        let failing = until_failure(&stop, async { Err(failure()) });
        let (endless, failing) = tokio::join!(endless, failing);
        assert!(endless.is_ok());
        assert_eq!(failing.unwrap_err().to_string(), failure().to_string());
    }

    #[tokio::test]
    async fn an_end_stops_nothing() {
        let stop = CancellationToken::new();
        until_failure(&stop, async { Ok(()) }).await.unwrap();
        assert!(!stop.is_cancelled());
    }
}

//! Who is measured, and how each is started and ended.

use std::path::Path;

use kidp_e2e::fixtures::change_broker;
use kidp_e2e::host::{Options, Platform};
use serde_json::json;
use tokio::task::JoinHandle;

use super::recording::Recording;
use super::twin::Twin;
use super::{Bench, ScaleError, writer};

/// Instances that are made at once, as many as there are.
const MOST: &str = "10000";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Sends KIDP's requests, and nothing else.
    Writer,
    /// Operator and broker.
    Kidp,
    /// The Go controller.
    Twin,
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Writer => "writer",
            Self::Kidp => "KIDP",
            Self::Twin => "twin",
        })
    }
}

impl Contender {
    /// All of them; another one is first in each round.
    pub fn in_turn(round: usize) -> [Self; 3] {
        let mut all = [Self::Writer, Self::Kidp, Self::Twin];
        let count = all.len();
        all.rotate_left(round % count);
        all
    }
}

/// A contender at work.
pub enum Running {
    /// Operator and broker.
    Kidp(Box<Platform>),
    /// The Go controller.
    Twin(Box<Twin>),
    /// A task of this program.
    Writer(JoinHandle<ScaleError>),
}

impl Running {
    /// Starts it, for one namespace, as a client of the API server that the kubeconfig names.
    pub async fn start(
        bench: &Bench<'_>,
        contender: Contender,
        namespace: &str,
        recording: &Recording,
        kubeconfig: &Path,
    ) -> Result<Self, ScaleError> {
        let workers = bench.options.workers;
        Ok(match contender {
            Contender::Kidp => {
                let options = Options {
                    kubeconfig: Some(kubeconfig.to_owned()),
                    ..options(workers)
                };
                Self::Kidp(Box::new(kidp(bench, namespace, options).await?))
            }
            Contender::Twin => {
                let template = bench.folder.path().join("template.json");
                let workers = usize::from(workers);
                let twin = Twin::start(&bench.twin, kubeconfig, namespace, &template, workers).await?;
                Self::Twin(Box::new(twin))
            }
            Contender::Writer => Self::Writer(writer::start(
                bench.client.clone(),
                namespace.to_owned(),
                recording.clone(),
                usize::from(workers),
            )),
        })
    }

    /// Its processes.
    pub fn ids(&self) -> Vec<u32> {
        match self {
            Self::Kidp(platform) => platform.ids().into_iter().flatten().collect(),
            Self::Twin(twin) => vec![twin.pid()],
            Self::Writer(_) => Vec::new(),
        }
    }

    /// Ends it.
    pub async fn stop(self) -> Result<(), ScaleError> {
        match self {
            Self::Kidp(mut platform) => platform.end().await?,
            Self::Twin(twin) => twin.stop().await?,
            Self::Writer(task) => {
                if task.is_finished() {
                    // It ends by itself with an error only.
                    return Err(task
                        .await
                        .unwrap_or_else(|error| ScaleError::Unexpected(error.to_string())));
                }
                task.abort();
            }
        }
        Ok(())
    }
}

/// What both are told, so that no limit of theirs is measured instead of them.
pub fn options(workers: u16) -> Options {
    let workers = workers.to_string();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Options {
        operator: words(&["--concurrency", &workers]),
        broker: words(&[
            "--max-concurrent",
            &workers,
            "--max-concurrent-per-namespace",
            MOST,
        ]),
        ..Options::default()
    }
}

/// Operator and broker of a namespace.
pub async fn kidp(bench: &Bench<'_>, namespace: &str, options: Options) -> Result<Platform, ScaleError> {
    let platform =
        Platform::start_with(&bench.client, namespace, namespace, &bench.programs, options).await?;
    let spec = json!({"maxConcurrentDeployments": 10_000, "healthCheck": {"intervalSeconds": 30}});
    change_broker(&bench.client, namespace, namespace, spec).await?;
    Ok(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_first_in_turn() {
        let first: Vec<_> = (0..4).map(|round| Contender::in_turn(round)[0]).collect();
        assert_eq!(
            first,
            [
                Contender::Writer,
                Contender::Kidp,
                Contender::Twin,
                Contender::Writer
            ]
        );
    }
}

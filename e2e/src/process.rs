//! Operator and broker as processes of this machine: started, ended and their output kept.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running process; it is killed when dropped.
pub struct Process {
    child: Child,
    name: String,
}

/// Ports that servers under test get: below those that the kernel gives to outgoing connections (32768 and up by
/// default, `ip_local_port_range` in ip(7)) and below node ports (30000 and up). A port that the kernel found free
/// can belong to a connection of another test by the time its server starts.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A free port of this machine, which this process gives once only.
pub fn free_port() -> Result<u16> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(rand::random_range(0..PORTS.end - PORTS.start)));
    let count = PORTS.end - PORTS.start;
    let candidates = (0..count).map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % count);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().ok_or_else(|| Error::Document {
        doing: "finding a free port".into(),
        reason: format!("none of {PORTS:?} is free"),
    })
}

/// The folder of the workspace's programs: `KIDP_BIN_DIR`, or where cargo puts them beside this one.
pub fn binaries() -> Result<PathBuf> {
    let named = std::env::var_os("KIDP_BIN_DIR").map(PathBuf::from);
    let own = std::env::current_exe().doing("finding this program")?;
    let beside = || {
        own.ancestors()
            .skip(1)
            .find(|p| p.join("kidp-broker").is_file())
            .map(Path::to_path_buf)
    };
    named.or_else(beside).ok_or_else(|| Error::Document {
        doing: "finding kidp-broker".into(),
        reason: "build it first, or set KIDP_BIN_DIR".into(),
    })
}

/// The end of a log, for a failed test's report.
pub fn log_tail(path: &Path) -> String {
    last_lines(&std::fs::read_to_string(path).unwrap_or_default(), 60)
}

/// The last `count` lines of a text, joined by newlines.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

impl Process {
    /// Starts a program with its output appended to `log`, and waits until `health` answers 200.
    pub async fn start(
        program: &Path,
        kubeconfig: &Path,
        arguments: &[String],
        log: &Path,
        health: &str,
    ) -> Result<Self> {
        let level = "info,kidp_broker=debug,kidp_operator=debug,kidp_provisioners=debug";
        Self::start_logging(program, kubeconfig, arguments, log, health, level).await
    }

    /// The same, with as little in the log as there is without a setting: for measurements.
    pub async fn start_as_shipped(
        program: &Path,
        kubeconfig: &Path,
        arguments: &[String],
        log: &Path,
        health: &str,
    ) -> Result<Self> {
        Self::start_logging(program, kubeconfig, arguments, log, health, "info").await
    }

    async fn start_logging(
        program: &Path,
        kubeconfig: &Path,
        arguments: &[String],
        log: &Path,
        health: &str,
        level: &str,
    ) -> Result<Self> {
        let name = program
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .doing("opening the log")?;
        let errors = output.try_clone().doing("opening the log")?;
        let child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", level)
            // Tests ask, and poll, as often as they like.
            .env("KIDP_RATE_LIMIT_PER_MINUTE", "0")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .doing(format!("starting {name}"))?;
        let mut process = Self { child, name };
        process.wait_healthy(health, log).await?;
        Ok(process)
    }

    async fn wait_healthy(&mut self, health: &str, log: &Path) -> Result<()> {
        let name = self.name.clone();
        // An end is what there is to see: as an error it would count as "not yet", for the whole limit.
        let what = format!("{name} to answer {health}");
        let ended = until(&what, START_LIMIT, async || {
            if let Some(status) = self.child.try_wait().doing("watching a process")? {
                return Ok(Seen::Done(Some(status)));
            }
            Ok(match reqwest::get(health).await {
                Ok(answer) if answer.status().is_success() => Seen::Done(None),
                Ok(answer) => Seen::NotYet(answer.status().to_string()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        });
        match ended.await? {
            None => Ok(()),
            Some(status) => Err(Error::Document {
                doing: format!("starting {name}"),
                reason: format!("it ended with {status}\n{}", log_tail(log)),
            }),
        }
    }

    /// Process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it as a crash does: at once, without a chance to clean up.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.doing(format!("killing {}", self.name))
    }

    /// Asks it to end, as a kubelet does, and gives whether it ended with success.
    pub async fn terminate(mut self) -> Result<bool> {
        let Some(id) = self.child.id() else {
            return Ok(false);
        };
        let asked = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await;
        asked.doing(format!("ending {}", self.name))?;
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(status) => Ok(status.doing(format!("ending {}", self.name))?.success()),
            Err(_) => Err(Error::Timeout {
                what: format!("{} to end", self.name),
                last: "still running after SIGTERM".into(),
                after: STOP_LIMIT,
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_keeps_the_end() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("", 2), "");
    }

    #[tokio::test]
    async fn a_program_that_ends_while_it_starts_is_no_timeout_and_its_log_is_told() {
        // Elsewhere the cluster's client does it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{}", free_port().unwrap());
        let arguments = ["-c", "echo cannot listen; exit 3"].map(str::to_owned);
        let log = folder.path().join("log");
        let started = Process::start(Path::new("/bin/sh"), folder.path(), &arguments, &log, &url).await;
        let error = started.err().unwrap();
        assert!(matches!(error, Error::Document { .. }), "{error}");
        assert!(error.to_string().contains("cannot listen"), "{error}");
    }
}

//! The controller twin (`benches/twin/controller`) as a process of this machine: a controller-runtime manager that does for a
//! `Database` what operator and broker do together.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kidp_e2e::process::log_tail;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::process::ProcessError;
use crate::tools::go_twins;

/// The program's name, which is its package's folder.
const PROGRAM: &str = "controller";
/// What it prints once it has read what there is.
const READY: &str = "ready";
/// How long that may take, with ten thousand instances there already.
const START_LIMIT: Duration = Duration::from_mins(2);
/// It ends within a second by itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no twin, or why it did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] ProcessError),
    /// The system did not start or end it.
    #[error("{doing} the controller twin: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ended instead of becoming ready, or not as it was asked to.
    #[error("the controller twin ended with {status}\n{tail}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        tail: String,
    },
    /// It goes on without doing what was waited for.
    #[error("the controller twin was not {what} within {seconds} s\n{tail}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// The end of its log.
        tail: String,
    },
}

impl TwinError {
    fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// A running twin; it is killed when dropped.
#[derive(Debug)]
pub struct Twin {
    child: Child,
    pid: u32,
    /// Its errors, as JSON lines.
    log: NamedTempFile,
}

impl Twin {
    /// Builds the program; Go's own cache makes it quick when nothing has changed.
    pub async fn build() -> Result<PathBuf, TwinError> {
        let package = format!("./{PROGRAM}");
        Ok(go_twins(&[&package]).await?.join(PROGRAM))
    }

    /// Starts it for one namespace, and waits until it has read what is there. The file `template` has an instance's record
    /// and objects; see the program.
    pub async fn start(
        program: &Path,
        kubeconfig: &Path,
        namespace: &str,
        template: &Path,
        workers: usize,
    ) -> Result<Self, TwinError> {
        let log = NamedTempFile::new().map_err(TwinError::io("opening the log of"))?;
        let errors = log.reopen().map_err(TwinError::io("opening the log of"))?;
        let mut child = Command::new(program)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", namespace, "--template"])
            .arg(template)
            .args(["--workers", &workers.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(TwinError::io("starting"))?;
        let said = child.stdout.take();
        let pid = child.id().unwrap_or_default();
        let mut twin = Self { child, pid, log };
        match tokio::time::timeout(START_LIMIT, says_ready(said)).await {
            Ok(true) => Ok(twin),
            Ok(false) => {
                let status = twin.child.wait().await.map_err(TwinError::io("starting"))?;
                Err(twin.ended(status))
            }
            Err(_) => Err(twin.late(READY, START_LIMIT)),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end, as a kubelet does, and waits until it has.
    pub async fn stop(mut self) -> Result<(), TwinError> {
        // No id once it has been waited for.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // It may have ended by itself in between; its status tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        match tokio::time::timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.ended(status)),
            Ok(Err(source)) => Err(TwinError::io("ending")(source)),
            Err(_) => Err(self.late("gone", STOP_LIMIT)),
        }
    }

    fn ended(&self, status: std::process::ExitStatus) -> TwinError {
        TwinError::Ended {
            status: status.to_string(),
            tail: log_tail(self.log.path()),
        }
    }

    fn late(&self, what: &'static str, limit: Duration) -> TwinError {
        TwinError::Late {
            what,
            seconds: limit.as_secs(),
            tail: log_tail(self.log.path()),
        }
    }
}

/// Whether a program says that it is ready before its output ends.
async fn says_ready(said: Option<impl AsyncRead + Unpin>) -> bool {
    let Some(said) = said else { return false };
    let mut lines = BufReader::new(said).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == READY {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is started as the twin is. Another process writes it: while a file is open for writing in this one, or
    /// in what another test has just forked off, it cannot be run.
    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("twin");
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$1" > "$2"; chmod +x "$2""#,
                "sh",
                text,
            ])
            .arg(&path)
            .status();
        assert!(written.unwrap().success());
        path
    }

    async fn start_of(text: &str) -> Result<Twin, TwinError> {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), text);
        Twin::start(&program, Path::new("k"), "n", Path::new("t"), 3).await
    }

    #[tokio::test]
    async fn it_is_told_all_and_ends_when_asked_to() {
        let text = "trap 'exit 0' TERM; echo $@ >&2; echo ready; while :; do sleep 0.01; done";
        let twin = start_of(text).await.unwrap();
        assert!(twin.pid() > 0);
        let told = "--kubeconfig k --namespace n --template t --workers 3";
        assert_eq!(log_tail(twin.log.path()), told);
        twin.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_end_instead_of_readiness_is_told_with_its_log() {
        let ended = start_of("echo almost; echo no such template >&2; exit 1").await;
        let error = ended.unwrap_err();
        assert!(matches!(error, TwinError::Ended { .. }), "{error}");
        assert!(error.to_string().contains("no such template"), "{error}");
    }

    #[tokio::test]
    async fn an_end_by_itself_is_no_stop() {
        let twin = start_of("echo ready; exit 3").await.unwrap();
        assert!(matches!(twin.stop().await, Err(TwinError::Ended { .. })));
    }
}

//! `cargo xtask test --offline` beside the cluster's tests: the same program once more, which stands back where both want
//! a processor, and whose lines are marked.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::CheckError;
use crate::devcluster;

const STEP: &str = "what needs no cluster";
/// What its lines begin with.
const MARK: &str = "      | ";
/// How far it stands back: a tenth of what the others get.
const NICENESS: &str = "10";

/// Runs it to its end. When this is dropped before, it ends with all that it has started.
pub async fn run() -> Result<(), CheckError> {
    let mut command = Command::new("nice");
    command
        .args(["-n", NICENESS])
        .arg(devcluster::xtask_binary()?)
        .args(["test", "--offline"]);
    let status = marked(command).await.map_err(|error| CheckError::Run {
        step: STEP.to_owned(),
        reason: error.to_string(),
    })?;
    if status.success() {
        return Ok(());
    }
    Err(CheckError::Step {
        step: STEP.to_owned(),
        status: status.to_string(),
    })
}

/// Runs a program with its lines marked.
async fn marked(mut command: Command) -> std::io::Result<ExitStatus> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut group = Group(command.spawn()?);
    let (said, told) = (group.0.stdout.take(), group.0.stderr.take());
    tokio::join!(lines(said), lines(told));
    group.0.wait().await
}

/// Shows what comes, line by line.
async fn lines(stream: Option<impl AsyncRead + Unpin>) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // A stream that cannot be read further is at its end; the exit status tells the rest.
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|n| n > 0) {
        eprint!("{MARK}{}", String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// A program and all that it starts.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // No id once it has been waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself in between.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_it_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 60 & echo $! > \"$0\"; wait"])
            .arg(&file);
        let running = tokio::time::timeout(Duration::from_millis(500), marked(command));
        assert!(running.await.is_err());
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        for _ in 0..100 {
            // What nobody waits for stays as a zombie.
            if stat().is_empty() || stat().contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it still runs: {}", stat());
    }

    #[tokio::test]
    async fn its_status_is_told() {
        assert!(marked(Command::new("true")).await.unwrap().success());
        assert!(!marked(Command::new("false")).await.unwrap().success());
    }
}

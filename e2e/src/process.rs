//! Operator and broker as processes of this machine: started, ended and their output kept.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
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

/// A free port of this machine.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").doing("finding a free port")?;
    Ok(listener.local_addr().doing("finding a free port")?.port())
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

impl Process {
    /// Starts a program with its output appended to `log`, and waits until `health` answers 200.
    pub async fn start(
        program: &Path,
        kubeconfig: &Path,
        arguments: &[String],
        log: &Path,
        health: &str,
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
            .env(
                "RUST_LOG",
                "info,kidp_broker=debug,kidp_operator=debug,kidp_provisioners=debug",
            )
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .doing(format!("starting {name}"))?;
        let mut process = Self { child, name };
        process.wait_healthy(health).await?;
        Ok(process)
    }

    async fn wait_healthy(&mut self, health: &str) -> Result<()> {
        let name = self.name.clone();
        until(&format!("{name} to answer {health}"), START_LIMIT, async || {
            if let Some(status) = self.child.try_wait().doing("watching a process")? {
                return Ok(Seen::NotYet(format!("{name} ended: {status}")));
            }
            Ok(match reqwest::get(health).await {
                Ok(answer) if answer.status().is_success() => Seen::Done(()),
                Ok(answer) => Seen::NotYet(answer.status().to_string()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })
        .await
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

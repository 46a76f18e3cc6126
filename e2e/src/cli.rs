//! `kubectl kidp`, the program itself, against the cluster of `KUBECONFIG`.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::error::Doing;
use crate::process::binaries;
use crate::wait::{Seen, until};
use crate::{Error, Result};

/// Longest that one command takes.
const LIMIT: Duration = Duration::from_mins(2);
/// Longest wait for a cause.
const CAUSE_LIMIT: Duration = Duration::from_mins(1);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command in a namespace.
pub async fn kidp(namespace: &str, arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new(binaries()?.join("kubectl-kidp"));
    // The namespace goes before what is the engine's client's.
    command.args(["-n", namespace]).args(arguments).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, command.output()).await;
    let ended = ended.map_err(|_| Error::Timeout {
        what: format!("kubectl kidp {arguments:?}"),
        last: "still running".to_owned(),
        after: LIMIT,
    })?;
    let output = ended.doing("running kubectl-kidp")?;
    Ok(Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Asks for a status until its cause has this reason; the whole answer then.
pub async fn wait_cause(namespace: &str, resource: &str, reason: &str) -> Result<Value> {
    let what = format!("{resource} to say {reason}");
    until(&what, CAUSE_LIMIT, async || {
        let said = kidp(namespace, &["status", resource, "-o", "json"]).await?;
        let Ok(report) = serde_json::from_str::<Value>(&said.out) else {
            return Ok(Seen::NotYet(format!("{said:?}")));
        };
        let is_meant = report["cause"]["reason"] == reason && said.code == 1;
        Ok(if is_meant {
            Seen::Done(report)
        } else {
            Seen::NotYet(format!("exit code {}, {}", said.code, report["cause"]))
        })
    })
    .await
}

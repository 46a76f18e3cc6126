//! One step: a program, what it says, and how long it took.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::CheckError;
use crate::diagnosis;
use crate::paths::checkout;

/// Longest that a step takes.
const LIMIT: Duration = Duration::from_hours(1);

/// Runs a cargo command with its output shown as it comes.
pub async fn cargo(step: &str, arguments: &[&str]) -> Result<(), CheckError> {
    eprintln!("=== {step}: cargo {}", arguments.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(checkout());
    shown(step, command).await
}

/// Runs a program with its output shown as it comes.
pub async fn shown(step: &str, mut command: Command) -> Result<(), CheckError> {
    let began = Instant::now();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let run = |reason: String| CheckError::Run {
        step: step.to_owned(),
        reason,
    };
    let mut child = command.spawn().map_err(|e| run(e.to_string()))?;
    let waited = tokio::time::timeout(LIMIT, child.wait()).await;
    let status = waited
        .map_err(|_| run("did not end".into()))?
        .map_err(|e| run(e.to_string()))?;
    let (took, room) = (began.elapsed().as_secs_f64(), diagnosis::disk(checkout()));
    eprintln!("=== {step}: {status} after {took:.1}s; {room}");
    if status.success() {
        Ok(())
    } else {
        Err(CheckError::Step {
            step: step.to_owned(),
            status: status.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_fails_says_so() {
        shown("good", Command::new("true")).await.unwrap();
        let error = shown("bad", Command::new("false")).await.unwrap_err();
        assert!(
            error.to_string().starts_with("bad failed (exit status: 1)"),
            "{error}"
        );
    }
}

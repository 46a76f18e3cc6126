//! One run of a program: how long it takes, and the most memory that it has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use super::BenchError;
use crate::figures::{cpu_milliseconds, memory_kib};
use crate::process::ProcessError;

const LIMIT: Duration = Duration::from_mins(20);
/// How often a running program's memory is looked at. The kernel keeps the most it had, so that only what it takes in
/// its last moment is missed.
const LOOK: Duration = Duration::from_millis(2);

/// A program to measure.
pub struct Run {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// From its start until it ended and everything it wrote was read.
    pub milliseconds: f64,
    /// Processor time of all its threads, as last seen before it ended.
    pub cpu_milliseconds: f64,
    /// Most resident memory, in KiB.
    pub peak_kib: f64,
}

impl Run {
    /// A program with its arguments.
    pub fn new<A: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[A]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(|a| a.as_ref().to_owned()).collect(),
        }
    }

    /// Runs it once, and throws away what it writes.
    pub async fn measure(self) -> Result<Taken, BenchError> {
        let shown = self.program.display().to_string();
        let began = Instant::now();
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ProcessError::Start {
                program: shown.clone(),
                source,
            })?;
        let id = child.id();
        let mut output = child.stdout.take();
        let read = async {
            let mut chunk = vec![0; 1 << 16];
            while let Some(output) = output.as_mut() {
                if output.read(&mut chunk).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            child.wait().await
        };
        let (mut peak_kib, mut cpu) = (0.0, 0.0);
        let watch = async {
            loop {
                peak_kib = id.and_then(|id| memory_kib(id, "VmHWM")).unwrap_or(peak_kib);
                cpu = id.and_then(cpu_milliseconds).unwrap_or(cpu);
                tokio::time::sleep(LOOK).await;
            }
        };
        let status = tokio::select! {
            status = read => status,
            () = tokio::time::sleep(LIMIT) => {
                return Err(ProcessError::Timeout { program: shown, seconds: LIMIT.as_secs() }.into());
            }
            () = watch => return Err(BenchError::Answer { program: shown, answer: String::new() }),
        };
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        match status {
            Ok(status) if status.success() => Ok(Taken {
                milliseconds,
                cpu_milliseconds: cpu,
                peak_kib,
            }),
            Ok(status) => Err(BenchError::Answer {
                program: shown,
                answer: status.to_string(),
            }),
            Err(source) => Err(ProcessError::Start {
                program: shown,
                source,
            }
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_and_memory_of_a_program_are_seen() {
        let run = Run::new(Path::new("/bin/sleep"), &["0.1"]);
        let taken = run.measure().await.unwrap();
        assert!(taken.milliseconds >= 100.0 && taken.peak_kib > 0.0, "{taken:?}");
        assert!(
            Run::new(Path::new("/bin/false"), &[""; 0])
                .measure()
                .await
                .is_err()
        );
    }
}

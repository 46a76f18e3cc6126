//! Running other programs: every call has a deadline, and a failure carries the end of what the program said.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kidp_e2e::process::last_lines;
use tokio::io::AsyncWriteExt;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started at all.
    #[error("cannot run `{program}`: {source}; is it installed and on PATH?")]
    Start {
        /// What was to be run.
        program: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ran longer than its deadline and was killed.
    #[error("`{program}` did not finish within {seconds} s and was stopped")]
    Timeout {
        /// What was run.
        program: String,
        /// The deadline.
        seconds: u64,
    },
    /// It ended with an error.
    #[error("`{program}` failed ({status}): {tail}")]
    Failed {
        /// What was run, with its arguments.
        program: String,
        /// The exit status.
        status: String,
        /// The last lines of its error output, after those of its report, where it makes one.
        tail: String,
    },
}

/// A program to run to its end.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    log: Option<PathBuf>,
    reports: bool,
    timeout: Duration,
}

impl Cmd {
    /// A program with a deadline of one minute.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            dir: None,
            stdin: None,
            log: None,
            reports: false,
            timeout: Duration::from_mins(1),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Feeds it these bytes.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Writes its error output to this file instead of keeping it in memory.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Its standard output is a report of what it found, which a failure shows. Not for programs that print what is not
    /// to be shown.
    #[must_use]
    pub fn reports(mut self) -> Self {
        self.reports = true;
        self
    }

    /// Changes the deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it; its standard output is the answer.
    pub async fn output(self) -> Result<String, ProcessError> {
        let shown = self.shown();
        let start = |source| ProcessError::Start {
            program: shown.clone(),
            source,
        };
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.envs.iter().map(|(k, v)| (k, v)))
            .kill_on_drop(true);
        command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(match &self.log {
            Some(path) => Stdio::from(append(path).map_err(start)?),
            None => Stdio::piped(),
        });
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn().map_err(start)?;
        let mut pipe = child.stdin.take();
        let work = async {
            if let (Some(pipe), Some(bytes)) = (pipe.as_mut(), self.stdin.as_deref()) {
                // A program that ends before it read everything says so by its exit status.
                let _ = pipe.write_all(bytes).await;
            }
            drop(pipe);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(self.timeout, work)
            .await
            .map_err(|_| ProcessError::Timeout {
                program: shown.clone(),
                seconds: self.timeout.as_secs(),
            })?
            .map_err(start)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = match &self.log {
            Some(path) => std::fs::read(path).unwrap_or_default(),
            None => output.stderr,
        };
        let mut tail = last_lines(&String::from_utf8_lossy(&said), 12);
        if self.reports {
            let report = last_lines(&String::from_utf8_lossy(&output.stdout), 40);
            tail = format!("{report}\n{tail}");
        }
        Err(ProcessError::Failed {
            program: shown,
            status: output.status.to_string(),
            tail,
        })
    }

    /// Whether it ran and ended well; for questions whose answer is the exit status.
    pub async fn succeeds(self) -> bool {
        self.output().await.is_ok()
    }

    fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        let line = words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
        line.chars().take(160).collect()
    }
}

/// Opens a log file for appending.
pub fn append(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_program_and_what_it_said() {
        let error = Cmd::new("sh")
            .args(["-c", "echo oops >&2; exit 3"])
            .output()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("oops"), "{error}");
    }

    #[tokio::test]
    async fn a_failure_shows_a_report_where_there_is_one() {
        let found = || Cmd::new("sh").args(["-c", "printf '%s\\n' fou''nd; exit 1"]);
        let error = found().reports().output().await.unwrap_err();
        assert!(error.to_string().contains("found"), "{error}");
        let error = found().output().await.unwrap_err();
        assert!(!error.to_string().contains("found"), "{error}");
    }

    #[tokio::test]
    async fn a_deadline_is_kept() {
        let error = Cmd::new("sleep")
            .arg("5")
            .timeout(Duration::from_millis(50))
            .output()
            .await
            .unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    #[tokio::test]
    async fn standard_input_is_fed() {
        assert_eq!(Cmd::new("cat").stdin("x").output().await.unwrap(), "x");
    }
}

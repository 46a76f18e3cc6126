//! helm, the program itself, with the charts of this checkout, against the cluster of `KUBECONFIG`.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::error::Doing;
use crate::pods::workspace;
use crate::process::last_lines;
use crate::{Error, Result};

/// Longest that one command takes; helm itself gives up before.
const LIMIT: Duration = Duration::from_mins(5);
/// How long helm waits for what it made.
const PATIENCE: &str = "--timeout=4m";

/// helm, with a home of its own.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: TempDir,
}

/// A release of one of the charts.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace, which is there.
    pub namespace: &'a str,
    /// The folder of its chart in `deploy/charts`.
    pub chart: &'a str,
}

impl Helm {
    /// The program of `KIDP_HELM`.
    pub fn from_env() -> Result<Self> {
        let program = std::env::var_os("KIDP_HELM").ok_or_else(|| Error::Document {
            doing: "finding helm".into(),
            reason: "set KIDP_HELM to the program; `cargo xtask test` does".into(),
        })?;
        Ok(Self {
            program: program.into(),
            home: tempfile::tempdir().doing("making a home for helm")?,
        })
    }

    /// Installs a release, and returns when what it made is ready. `values` are as `--set` takes them.
    pub async fn install(&self, release: Release<'_>, values: &[&str]) -> Result<String> {
        self.with_chart("install", release, values).await
    }

    /// Gives a release other values, all of which are listed, and returns when its pods have them.
    pub async fn upgrade(&self, release: Release<'_>, values: &[&str]) -> Result<String> {
        self.with_chart("upgrade", release, values).await
    }

    /// Takes a release back to one of its revisions.
    pub async fn rollback(&self, release: Release<'_>, revision: u32) -> Result<String> {
        let revision = revision.to_string();
        self.run(&[
            "rollback",
            release.name,
            &revision,
            "--namespace",
            release.namespace,
            "--wait",
            PATIENCE,
        ])
        .await
    }

    /// Removes a release, and returns when it is gone.
    pub async fn uninstall(&self, release: Release<'_>) -> Result<String> {
        self.run(&[
            "uninstall",
            release.name,
            "--namespace",
            release.namespace,
            "--wait",
            PATIENCE,
        ])
        .await
    }

    async fn with_chart(&self, verb: &str, release: Release<'_>, values: &[&str]) -> Result<String> {
        let chart = workspace().join("deploy/charts").join(release.chart);
        let chart = chart.to_string_lossy();
        let mut arguments = vec![verb, release.name, &*chart, "--namespace", release.namespace];
        arguments.extend(values.iter().flat_map(|value| ["--set", *value]));
        arguments.extend(["--wait", PATIENCE]);
        self.run(&arguments).await
    }

    /// Runs a command; what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).kill_on_drop(true);
        for (name, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            command.env(name, self.home.path().join(folder));
        }
        let ended = tokio::time::timeout(LIMIT, command.output()).await;
        let doing = || format!("helm {}", arguments.join(" "));
        let ended = ended.map_err(|_| Error::Timeout {
            what: doing(),
            last: "still running".to_owned(),
            after: LIMIT,
        })?;
        let output = ended.doing(doing())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Document {
            doing: doing(),
            reason: last_lines(&String::from_utf8_lossy(&output.stderr), 20),
        })
    }
}

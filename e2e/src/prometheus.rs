//! Prometheus, the program itself, as a process of this machine that scrapes others of it, with the rules of this checkout.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::Doing;
use crate::pods::workspace;
use crate::process::{Process, free_port, log_tail};
use crate::{Error, Result};

/// Longest that one question takes.
const LIMIT: Duration = Duration::from_secs(10);

/// What is scraped, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its `job`.
    pub job: &'a str,
    /// Its `namespace`, which a service discovery would tell.
    pub namespace: &'a str,
    /// Host and port of `/metrics`.
    pub address: &'a str,
}

/// A running Prometheus, which looks at its targets and its rules every second.
pub struct Prometheus {
    process: Process,
    url: String,
    http: reqwest::Client,
    folder: TempDir,
}

impl Prometheus {
    /// Starts the program of `KIDP_PROMETHEUS`.
    pub async fn start(targets: &[Target<'_>]) -> Result<Self> {
        let program = std::env::var_os("KIDP_PROMETHEUS").map(PathBuf::from);
        let program = program.ok_or_else(|| Error::Document {
            doing: "finding Prometheus".into(),
            reason: "set KIDP_PROMETHEUS to the program; `cargo xtask test` does".into(),
        })?;
        let folder = tempfile::tempdir().doing("making a folder for Prometheus")?;
        let file = folder.path().join("prometheus.json");
        // JSON is YAML.
        std::fs::write(&file, config(targets).to_string()).doing("configuring Prometheus")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ];
        let (url, log) = (format!("http://{address}"), folder.path().join("log"));
        let ready = format!("{url}/-/ready");
        let process = Process::start(&program, folder.path(), &arguments, &log, &ready).await?;
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build();
        let http = http.map_err(std::io::Error::other);
        Ok(Self {
            process,
            url,
            http: http.doing("making a client of Prometheus")?,
            folder,
        })
    }

    /// The data of an answer of its HTTP API, below `/api/v1`.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let fault = |reason: String| Error::Document {
            doing: format!("asking Prometheus for {path} {parameters:?}"),
            reason,
        };
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), parameters);
        let url = url.map_err(|error| fault(error.to_string()))?;
        let answer = self.http.get(url).send().await;
        let answer = answer.map_err(|error| fault(error.to_string()))?;
        let mut answer: Value = answer.json().await.map_err(|error| fault(error.to_string()))?;
        if answer["status"] == "success" {
            Ok(answer["data"].take())
        } else {
            Err(fault(answer.to_string()))
        }
    }

    /// The series that an expression has now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let data = self.ask("query", &[("query", expression)]).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The end of its log, for a failed test's report.
    pub fn log_tail(&self) -> String {
        log_tail(&self.folder.path().join("log"))
    }

    /// Ends it, and gives whether it ended with success.
    pub async fn stop(self) -> Result<bool> {
        self.process.terminate().await
    }
}

fn config(targets: &[Target<'_>]) -> Value {
    let scraped = |target: &Target<'_>| {
        let labels = json!({"namespace": target.namespace});
        let at = json!([{"targets": [target.address], "labels": labels}]);
        json!({"job_name": target.job, "static_configs": at})
    };
    let rules = workspace().join("deploy/monitoring/rules/*.yaml");
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": targets.iter().map(scraped).collect::<Vec<_>>(),
    })
}

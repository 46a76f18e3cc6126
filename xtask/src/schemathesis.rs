//! `cargo xtask schemathesis`: requests that somebody else's tool makes up from the OpenAPI document, to a real broker
//! in front of a real API server, the cluster of `KUBECONFIG`.
//!
//! Every answer must have a status and a body that the document has, and none may be of the 5xx. Made up as they are,
//! most requests name nothing that there is. So the tool is given the document with the values in place that lead
//! further: the catalog's ids, one namespace, and few names, so that requests meet each other's instances. The
//! instances are made, as far as the time goes, and removed with their namespace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kidp_e2e::cluster::{connect, create_namespace, install_crds, purge};
use kidp_e2e::process::{Process, binaries, free_port};
use serde_json::{Value, json};

use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;
use crate::tools::python_tools;

/// The tool, by version.
const TOOL: &str = "schemathesis==4.32.5";
/// Namespace and name of the broker, and the namespace of what it makes.
const NAMESPACE: &str = "kidp-schemathesis";
/// What answers are judged by. Not by whether data that fits the schema is taken: what a field means is beyond it.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,unsupported_method";

/// How much is asked.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Seed of what is made up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that it takes at most, besides the start.
    #[arg(long, default_value_t = 90)]
    seconds: u64,
}

/// Why it did not pass.
#[derive(Debug, thiserror::Error)]
pub enum SchemathesisError {
    /// The tool could not be installed or found something; what it says is in the error.
    #[error(transparent)]
    Tool(#[from] ProcessError),
    /// The cluster or the broker is not there.
    #[error(transparent)]
    Platform(#[from] kidp_e2e::Error),
    /// The broker's own description could not be read.
    #[error("GET {path}: {source}")]
    Get {
        /// What was asked for.
        path: &'static str,
        /// The client's error.
        source: reqwest::Error,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Starts a broker and asks it.
pub async fn run(options: Options) -> Result<(), SchemathesisError> {
    let progress = Progress::default();
    let tool = python_tools(&[TOOL], &progress).await?.join("schemathesis");
    let client = connect().await?;
    install_crds(&client).await?;
    purge(&client, NAMESPACE).await?;
    create_namespace(&client, NAMESPACE).await?;
    let folder = tempfile::tempdir().map_err(|source| SchemathesisError::Write {
        path: std::env::temp_dir(),
        source,
    })?;
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}");
    let log = folder.path().join("broker.log");
    let broker = start(port, &url, &log).await?;
    let outcome = ask(&tool, &url, folder.path(), options, &progress).await;
    broker.terminate().await?;
    if outcome.is_err() {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let warnings = text
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"));
        warnings.take(40).for_each(|line| progress.note(line));
    }
    progress
        .step("removing what was made", purge(&client, NAMESPACE))
        .await?;
    outcome
}

async fn start(port: u16, url: &str, log: &Path) -> Result<Process, SchemathesisError> {
    let kubeconfig = std::env::var_os("KUBECONFIG")
        .map(PathBuf::from)
        .unwrap_or_default();
    let arguments = [
        "--name",
        NAMESPACE,
        "--namespace",
        NAMESPACE,
        "--listen",
        &format!("127.0.0.1:{port}"),
    ]
    .map(str::to_owned);
    let program = binaries()?.join("kidp-broker");
    Ok(Process::start(
        &program,
        &kubeconfig,
        &arguments,
        log,
        &format!("{url}/readiness"),
    )
    .await?)
}

async fn ask(
    tool: &Path,
    url: &str,
    folder: &Path,
    options: Options,
    progress: &Progress,
) -> Result<(), SchemathesisError> {
    let mut document = get(url, "/openapi.json").await?;
    let catalog = get(url, "/v2/catalog").await?;
    pass(tool, url, folder, ("coverage", &document), options, progress).await?;
    lead(&mut document, &catalog);
    pass(tool, url, folder, ("fuzzing", &document), options, progress).await
}

/// One of the tool's phases, with a document of its own.
async fn pass(
    tool: &Path,
    url: &str,
    folder: &Path,
    (phase, document): (&str, &Value),
    options: Options,
    progress: &Progress,
) -> Result<(), SchemathesisError> {
    let path = folder.join(format!("{phase}.json"));
    std::fs::write(&path, document.to_string()).map_err(|source| SchemathesisError::Write {
        path: path.clone(),
        source,
    })?;
    let command = Cmd::new(tool)
        .arg("run")
        .arg(&path)
        .args([
            "--url",
            url,
            "--checks",
            CHECKS,
            "--seed",
            &options.seed.to_string(),
        ])
        .args(["--max-time", &options.seconds.to_string(), "--max-examples", "60"])
        .args(["--phases", phase, "--no-color", "--continue-on-failure"])
        .args(["--request-timeout", "20", "--generation-database", "none"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .dir(folder)
        .reports()
        // What runs when the time is up is finished.
        .timeout(Duration::from_secs(options.seconds * 3 + 60));
    let said = progress
        .step(&format!("schemathesis, {phase}"), command.output())
        .await?;
    let count = said
        .lines()
        .filter(|line| line.contains("generated") || line.contains("Tested:"));
    count.for_each(|line| progress.note(line));
    Ok(())
}

async fn get(url: &str, path: &'static str) -> Result<Value, SchemathesisError> {
    let failed = |source| SchemathesisError::Get { path, source };
    let request = reqwest::Client::new()
        .get(format!("{url}{path}"))
        .header("X-Broker-API-Version", "2.17")
        .timeout(Duration::from_secs(20));
    let answer = request.send().await.map_err(failed)?;
    answer
        .error_for_status()
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)
}

/// Puts values into the document that lead further than chance does.
fn lead(document: &mut Value, catalog: &Value) {
    let (mut services, mut plans) = (Vec::new(), Vec::new());
    for service in catalog["services"].as_array().into_iter().flatten() {
        services.push(service["id"].clone());
        // The smallest: what is made takes room.
        plans.push(service["plans"][0]["id"].clone());
    }
    let (services, plans) = (json!(services), json!(plans));
    lead_bodies(&mut document["components"]["schemas"], &services, &plans);
    let few = [
        ("instance_id", json!(["i-1", "i-2", "i-3"])),
        ("binding_id", json!(["b-1", "b-2"])),
        ("service_id", services),
        ("plan_id", plans),
        ("accepts_incomplete", json!(["true"])),
    ];
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some((_, values)) = few.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["schema"] = json!({"type": "string", "enum": values});
            }
        }
    }
}

/// The same for bodies. What is left to chance is what has a default or may be anything.
fn lead_bodies(schemas: &mut Value, services: &Value, plans: &Value) {
    let here = json!([NAMESPACE]);
    let absent = json!([null]);
    // Answers hold them too, in full.
    let backup = json!({"enabled": false, "pointInTimeRestore": false});
    let encryption = json!({"atRest": false, "inTransit": false});
    for (body, property, values) in [
        ("ProvisionInstance", "service_id", services),
        ("ProvisionInstance", "plan_id", plans),
        ("ProvisionInstance", "maintenance_info", &absent),
        ("UpdateInstance", "service_id", services),
        ("UpdateInstance", "plan_id", plans),
        (
            "UpdateInstance",
            "maintenance_info",
            &json!([null, {"version": "1.0.0"}, {"version": "2.0.0"}]),
        ),
        ("BindInstance", "service_id", services),
        ("BindInstance", "plan_id", plans),
        ("BindInstance", "parameters", &absent),
        ("Context", "platform", &json!(["kubernetes"])),
        ("Context", "namespace", &here),
        ("InstanceParameters", "namespace", &here),
        (
            "InstanceParameters",
            "version",
            &json!([null, "15", "17", "8", "9", "7", "4"]),
        ),
        (
            "InstanceParameters",
            "team",
            &json!([null, "payments", NAMESPACE]),
        ),
        ("InstanceParameters", "backup", &json!([null, backup])),
        ("InstanceParameters", "encryption", &json!([null, encryption])),
        (
            "InstanceParameters",
            "parameters",
            &json!([null, {}, {"work_mem": "8MB"}]),
        ),
        ("ProvisionRequest", "namespace", &here),
        ("ProvisionRequest", "resourceName", &json!(["a", "b"])),
        ("ProvisionRequest", "resourceUid", &json!([null, "u"])),
        ("ProvisionRequest", "resourceGeneration", &json!([null, 1, 2])),
        ("ProvisionRequest", "team", &json!(["payments"])),
        ("ProvisionRequest", "owner", &absent),
        ("ProvisionRequest", "callbackUrl", &absent),
        (
            "InstanceSpec",
            "engine",
            &json!(["postgresql", "mysql", "redis", "rabbitmq"]),
        ),
        ("InstanceSpec", "version", &json!(["15", "8", "4"])),
        ("InstanceSpec", "size", &json!(["small"])),
        ("InstanceSpec", "highAvailability", &json!([false])),
        ("InstanceSpec", "backup", &json!([backup])),
        ("InstanceSpec", "encryption", &json!([encryption])),
        ("InstanceSpec", "parameters", &json!([{}])),
        ("StorageSpec", "size", &json!(["1Gi", "2Gi"])),
        ("StorageSpec", "class", &absent),
    ] {
        schemas[body]["properties"][property] = json!({"enum": values});
    }
}

/// Installs the tool into the cache unless it is there; its program.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_takes_the_values() {
        let text = std::fs::read_to_string(crate::paths::checkout().join("docs/openapi.json")).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let before = document.clone();
        let catalog = json!({"services": [{"id": "s", "plans": [{"id": "p"}, {"id": "q"}]}]});
        lead(&mut document, &catalog);
        let body = "/components/schemas/ProvisionInstance/properties/plan_id/enum/0";
        assert_eq!(document.pointer(body), Some(&json!("p")));
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            let count = |schema: &Value| schema["properties"].as_object().map(serde_json::Map::len);
            let known = &before["components"]["schemas"][name];
            assert_eq!(count(schema), count(known), "{name}: no property is made up");
        }
        let path = &document["paths"]["/v2/service_instances/{instance_id}"]["put"]["parameters"];
        assert!(
            path.as_array()
                .unwrap()
                .iter()
                .any(|p| p["schema"]["enum"][0] == "i-1")
        );
    }
}

//! Runs a script in a pod, as `kubectl exec -i` does: bounded in time and in what is read of its output.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kidp_provisioners::binding::{Place, Script};
use kube::api::{AttachParams, AttachedProcess, ListParams};
use kube::core::Selector;
use kube::{Api, Client, ResourceExt as _};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Longest that a script takes.
const LIMIT: Duration = Duration::from_secs(40);
/// Most that is read of each output, in bytes.
const MAX_OUTPUT: u64 = 16 * 1024;
/// Most that is told of an output, in characters.
const MAX_SAID: usize = 300;

/// Why a script did not succeed.
#[derive(Debug, Error)]
pub(super) enum ExecError {
    /// No pod could run it. It is tried again.
    #[error("no pod of the instance is ready")]
    NoPod,
    /// The API server refused or did not answer. It is tried again.
    #[error("running a script in a pod: {0}")]
    Kube(#[source] Box<kube::Error>),
    /// Its input could not be sent. It is tried again.
    #[error("sending a script its input: {0}")]
    Input(#[source] std::io::Error),
    /// It took too long. It is tried again.
    #[error("a script did not end within {} s", LIMIT.as_secs())]
    Timeout,
    /// It ended with a failure.
    #[error("the engine refused: {said}")]
    Script {
        /// The end of what it said.
        said: String,
    },
}

impl From<kube::Error> for ExecError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// Runs `script` in a ready pod of `place`.
pub(super) async fn run(
    client: &Client,
    namespace: &str,
    place: &Place,
    script: &Script,
) -> Result<(), ExecError> {
    let work = async {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let selector: Selector = place.labels.clone().into_iter().collect();
        let found = pods.list(&ListParams::default().labels_from(&selector)).await?;
        let pod = found
            .items
            .iter()
            .find(|pod| is_ready(pod))
            .ok_or(ExecError::NoPod)?;
        let params = AttachParams::default()
            .container(place.container.clone())
            .stdin(true);
        let process = pods.exec(&pod.name_any(), &script.command, &params).await?;
        attend(process, &script.input).await
    };
    tokio::time::timeout(LIMIT, work)
        .await
        .map_err(|_| ExecError::Timeout)?
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// Gives a process its input, reads what it says, and judges its end.
async fn attend(mut process: AttachedProcess, input: &str) -> Result<(), ExecError> {
    let status = process.take_status();
    let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
    let give = async {
        let Some(mut stdin) = stdin else { return Ok(()) };
        stdin.write_all(input.as_bytes()).await?;
        stdin.shutdown().await
    };
    let (given, out, err) = tokio::join!(give, read(stdout), read(stderr));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let ended = judge(status.as_ref(), &out, &err);
    // A program that ends before it has read everything is judged by its end.
    if ended.is_ok() {
        given.map_err(ExecError::Input)?;
    }
    ended
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(output) = output {
        // What breaks off is judged by the status that does not come.
        let _ = output.take(MAX_OUTPUT).read_to_end(&mut text).await;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn judge(status: Option<&Status>, out: &str, err: &str) -> Result<(), ExecError> {
    if status.is_some_and(|status| status.status.as_deref() == Some("Success")) {
        return Ok(());
    }
    let message = || {
        status
            .and_then(|status| status.message.clone())
            .unwrap_or_default()
    };
    let said = [err, out]
        .into_iter()
        .map(str::trim)
        .find(|text| !text.is_empty())
        .map_or_else(message, ToOwned::to_owned);
    let skip = said.chars().count().saturating_sub(MAX_SAID);
    Err(ExecError::Script {
        said: said.chars().skip(skip).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: serde_json::Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_a_success_is_one() {
        assert!(judge(Some(&status(json!({"status": "Success"}))), "", "a notice").is_ok());
        let failed = status(json!({"status": "Failure", "message": "exit code 3"}));
        let said = |out: &str, err: &str| judge(Some(&failed), out, err).unwrap_err().to_string();
        assert_eq!(said("", ""), "the engine refused: exit code 3");
        assert_eq!(said("out", " err\n"), "the engine refused: err");
        assert!(judge(None, "", "").is_err(), "a connection that broke off");
        assert!(said("", &"é".repeat(1000)).chars().count() <= MAX_SAID + 20);
    }

    #[test]
    fn a_pod_that_leaves_or_is_not_ready_is_passed_over() {
        let pod = |ready: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .unwrap()
        };
        assert!(is_ready(&pod("True")) && !is_ready(&pod("False")) && !is_ready(&Pod::default()));
        let mut leaving = pod("True");
        leaving.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            jiff::Timestamp::UNIX_EPOCH,
        ));
        assert!(!is_ready(&leaving));
    }
}

//! SQL from a client pod, through the Service, with the credentials of the connection Secret: what an
//! application does.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kidp_core::crd::Database;
use kidp_core::names::base_name;
use kube::api::{DeleteParams, LogParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

const LIMIT: Duration = Duration::from_secs(90);

fn client_pod(name: &str, base: &str, secret: &str, image: &str, statements: &str) -> Result<Pod> {
    // The statements are test data; the credentials come from files, never from arguments.
    let script = "export PGPASSWORD=\"$(cat /binding/password)\"; exec psql -X -A -t -q -v ON_ERROR_STOP=1 \
        -h \"$(cat /binding/host)\" -p \"$(cat /binding/port)\" -U \"$(cat /binding/username)\" \
        -d \"$(cat /binding/database)\" -c \"$0\"";
    let pod = json!({
        "metadata": {"name": name, "labels": {"platform.company.com/client-of": base}},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "client", "image": image, "command": ["sh", "-ec", script, statements],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "binding", "mountPath": "/binding", "readOnly": true}]}],
            "volumes": [{"name": "binding", "secret": {"secretName": secret, "defaultMode": 288}}]
        }
    });
    serde_json::from_value(pod).map_err(|error| Error::Document {
        doing: "the client pod".into(),
        reason: error.to_string(),
    })
}

/// Runs statements against a Ready database and gives what `psql` printed.
pub async fn run(client: &Client, database: &Database, statements: &str) -> Result<String> {
    let namespace = database.namespace().unwrap_or_default();
    let status = database.status.clone().unwrap_or_default();
    let secret = status.connection_secret_ref.map(|r| r.name).unwrap_or_default();
    let name = format!("sql-{}", jiff::Timestamp::now().as_nanosecond());
    let base = base_name(&database.name_any(), database.spec.engine.as_str());
    let image = format!("docker.io/library/postgres:{}", database.spec.version);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = client_pod(&name, &base, &secret, &image, statements)?;
    pods.create(&PostParams::default(), &pod)
        .await
        .doing("starting the client pod")?;
    let succeeded = until("the client pod to end", LIMIT, async || {
        let pod = pods.get(&name).await.doing("reading the client pod")?;
        let phase = pod
            .status
            .as_ref()
            .and_then(|s| s.phase.clone())
            .unwrap_or_default();
        Ok(match phase.as_str() {
            "Succeeded" => Seen::Done(true),
            "Failed" => Seen::Done(false),
            _ => Seen::NotYet(serde_json::to_string(&pod.status).unwrap_or(phase)),
        })
    })
    .await?;
    let output = pods
        .logs(&name, &LogParams::default())
        .await
        .doing("reading the client pod's output")?;
    pods.delete(&name, &DeleteParams::default())
        .await
        .doing("removing the client pod")?;
    if succeeded {
        Ok(output.trim().to_owned())
    } else {
        Err(Error::PodFailed { pod: name, output })
    }
}

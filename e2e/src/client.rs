//! A client pod, which reaches an instance as an application does: through its Service, with the credentials of the
//! connection Secret.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kidp_core::crd::ServiceResource;
use kidp_core::names::base_name;
use kube::api::{DeleteParams, LogParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::error::Doing;
use crate::wait::{Seen, until};
use crate::{Error, Result};

const LIMIT: Duration = Duration::from_mins(3);

/// The name that the objects of a resource's instance share.
pub fn base_of<K: ServiceResource>(resource: &K) -> String {
    base_name(&resource.name_any(), resource.engine().as_str())
}

/// The engine's own image, which has a client in it.
pub fn image_of<K: ServiceResource>(resource: &K) -> String {
    let repository = match resource.engine().as_str() {
        "postgresql" => "postgres",
        "mongodb" => "mongo",
        name => name,
    };
    format!("docker.io/library/{repository}:{}", resource.instance().version)
}

/// Who a client pod is: whose instance it may reach, and with which login.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Namespace.
    pub namespace: String,
    /// The name that the instance's objects share.
    pub base: String,
    /// Image with the engine's client.
    pub image: String,
    /// Secret with the login.
    pub secret: String,
}

impl Seat {
    /// With the login of a Ready resource.
    pub fn of<K: ServiceResource>(resource: &K) -> Self {
        let status = resource.status().cloned().unwrap_or_default();
        Self {
            namespace: resource.namespace().unwrap_or_default(),
            base: base_of(resource),
            image: image_of(resource),
            secret: status.connection_secret_ref.map(|r| r.name).unwrap_or_default(),
        }
    }
}

fn pod(seat: &Seat, name: &str, script: &str, argument: &str) -> Result<Pod> {
    let pod = json!({
        "metadata": {"name": name, "labels": {"platform.company.com/client-of": seat.base}},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "client", "image": seat.image,
                "command": ["sh", "-euc", script, argument], "env": [{"name": "HOME", "value": "/tmp"}],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "binding", "mountPath": "/binding", "readOnly": true},
                    {"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "binding", "secret": {"secretName": seat.secret, "defaultMode": 288}},
                {"name": "tmp", "emptyDir": {}}]
        }
    });
    serde_json::from_value(pod).map_err(|error| Error::Document {
        doing: "the client pod".into(),
        reason: error.to_string(),
    })
}

/// How often a client connects before a refusal counts.
const CONNECTS: usize = 6;

/// Whether nobody was listening, or the address was one of the past. An endpoint reaches the node's packet filter a
/// moment after its pod is ready, so that an application's first connection may be refused, and is made again.
fn is_refused(output: &str) -> bool {
    [
        "onnection refused",
        "econnrefused",
        "ECONNREFUSED",
        "(111)",
        "timeout expired",
    ]
    .iter()
    .any(|said| output.contains(said))
}

/// Runs a shell script in the image of a Ready resource, with the connection Secret under `/binding` and `argument`
/// as `$0`, and gives what it printed. A refused connection is tried again, as applications do.
pub async fn run<K: ServiceResource>(
    client: &Client,
    resource: &K,
    script: &str,
    argument: &str,
) -> Result<String> {
    Box::pin(run_as(client, &Seat::of(resource), script, argument)).await
}

/// The same from a seat of one's own.
pub async fn run_as(client: &Client, seat: &Seat, script: &str, argument: &str) -> Result<String> {
    for _ in 1..CONNECTS {
        match run_once(client, seat, script, argument).await {
            Err(Error::PodFailed { output, .. }) if is_refused(&output) => {}
            other => return other,
        }
    }
    run_once(client, seat, script, argument).await
}

async fn run_once(client: &Client, seat: &Seat, script: &str, argument: &str) -> Result<String> {
    let name = format!("client-{}", jiff::Timestamp::now().as_nanosecond());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &seat.namespace);
    pods.create(&PostParams::default(), &pod(seat, &name, script, argument)?)
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

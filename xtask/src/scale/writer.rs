//! The writer: for each `Database` that appears, the requests that KIDP sends for one, with its names and ids, one after
//! the other. It reads nothing, renders nothing and decides nothing.

use std::sync::Arc;

use futures::TryStreamExt as _;
use http::{Request, header};
use kidp_core::crd::Database;
use kidp_e2e::proxy::Recorded;
use kube::api::{WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::ScaleError;
use super::recording::{Ids, Recording, makes_record, replaces_record};

/// Starts it for one namespace. It ends with an error only.
pub fn start(
    client: Client,
    namespace: String,
    recording: Recording,
    workers: usize,
) -> JoinHandle<ScaleError> {
    tokio::spawn(async move {
        match run(&client, &namespace, &Arc::new(recording), workers).await {
            Ok(()) => ScaleError::Unexpected("the writer's watch ended".to_owned()),
            Err(error) => error,
        }
    })
}

async fn run(
    client: &Client,
    namespace: &str,
    recording: &Recording,
    workers: usize,
) -> Result<(), ScaleError> {
    let api: Api<Database> = Api::namespaced(client.clone(), namespace);
    let events = api
        .watch_metadata(&WatchParams::default().timeout(290), "0")
        .await?;
    events
        .err_into::<ScaleError>()
        .try_for_each_concurrent(workers, async |event| match event {
            WatchEvent::Added(database) => write(client, namespace, &database, recording).await,
            _ => Ok(()),
        })
        .await
}

/// All requests of one instance.
async fn write(
    client: &Client,
    namespace: &str,
    database: &PartialObjectMeta<Database>,
    recording: &Recording,
) -> Result<(), ScaleError> {
    let uid = database.uid().unwrap_or_default();
    let mut ids = Ids {
        namespace: namespace.to_owned(),
        name: database.name_any(),
        record: format!("deploy-{}", uid.replace('-', "")),
        uid,
        record_uid: String::new(),
    };
    let mut version = Value::Null;
    for recorded in &recording.requests {
        let mut body = recording.rewritten(&String::from_utf8_lossy(&recorded.body), &ids);
        if replaces_record(recorded) {
            body = at_version(&body, &version)?;
        }
        let answer = send(client, recorded, &recording.rewritten(&recorded.uri, &ids), body).await?;
        if makes_record(recorded) || replaces_record(recorded) {
            version = answer["metadata"]["resourceVersion"].clone();
            let uid = answer["metadata"]["uid"].as_str().unwrap_or_default();
            uid.clone_into(&mut ids.record_uid);
        }
    }
    Ok(())
}

async fn send(client: &Client, recorded: &Recorded, uri: &str, body: String) -> Result<Value, ScaleError> {
    let mut request = Request::builder().method(recorded.method.as_str()).uri(uri);
    if let Some(content_type) = &recorded.content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let request = request
        .body(body.into_bytes())
        .map_err(|error| ScaleError::Unexpected(error.to_string()))?;
    Ok(client.request(request).await?)
}

/// A document with another version.
fn at_version(text: &str, version: &Value) -> Result<String, ScaleError> {
    let document = serde_json::from_str::<Value>(text);
    let mut document = document.map_err(|error| ScaleError::Unexpected(error.to_string()))?;
    document["metadata"]["resourceVersion"] = version.clone();
    Ok(document.to_string())
}

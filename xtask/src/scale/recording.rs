//! What one `Database` takes: the writes that KIDP was seen to send for it, from the finalizer to Ready, and the objects
//! among them. The writer sends the same, and the twin gets the objects as a template.

use std::fmt::Write as _;

use kidp_core::crd::{Database, ServiceInstance};
use kidp_e2e::fixtures::{create, wait_ready};
use kidp_e2e::host::Platform;
use kidp_e2e::proxy::Recorded;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{Bench, PREFIX, ScaleError, fresh, of_bench, remove};

/// The `Database` that is recorded.
const NAME: &str = "kidp-template";

/// Requests of one instance, in their order, with the names and ids of the one that was recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The requests.
    pub requests: Vec<Recorded>,
    ids: Ids,
}

/// What differs from one instance to the next.
#[derive(Clone, Debug)]
pub struct Ids {
    /// Namespace of both.
    pub namespace: String,
    /// Name of the `Database`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Name of the broker's record, which is the deployment's id.
    pub record: String,
    /// Its uid.
    pub record_uid: String,
}

impl Recording {
    /// A text of the recording, for another instance.
    pub fn rewritten(&self, text: &str, ids: &Ids) -> String {
        // Ids before names: none of them holds the name, nor the name one of them.
        text.replace(&self.ids.uid, &ids.uid)
            .replace(&self.ids.record_uid, &ids.record_uid)
            .replace(&self.ids.record, &ids.record)
            .replace(&self.ids.namespace, &ids.namespace)
            .replace(NAME, &ids.name)
    }

    /// The objects of an instance, for the twin.
    pub fn template(&self) -> String {
        let object = |request: &Recorded| {
            serde_json::from_slice::<Value>(&request.body)
                .ok()
                .map(owned_by_none)
        };
        let record = self.requests.iter().find(|r| makes_record(r));
        let record = record.and_then(object);
        let made = |r: &&Recorded| {
            !["/databases/", "/serviceinstances"]
                .iter()
                .any(|part| r.path().contains(part))
        };
        let objects: Vec<_> = self.requests.iter().filter(made).filter_map(object).collect();
        json!({"name": NAME, "namespace": self.ids.namespace, "record": record, "objects": objects})
            .to_string()
    }

    /// The requests, a line each.
    pub fn lines(&self) -> String {
        self.requests.iter().fold(String::new(), |mut lines, request| {
            let path = request.path();
            let tail = path.split("/namespaces/").nth(1).and_then(|p| p.split_once('/'));
            // Writing to a String cannot fail.
            let _ = writeln!(
                lines,
                "{} {}",
                request.method,
                tail.map_or(path, |(_, tail)| tail)
            );
            lines
        })
    }
}

/// Whether a request makes the broker's record.
pub fn makes_record(request: &Recorded) -> bool {
    request.method == "POST" && request.path().ends_with("/serviceinstances")
}

/// Whether a request depends on a version of the record: it holds the one that it has read.
pub fn replaces_record(request: &Recorded) -> bool {
    request.method == "PUT" && request.path().contains("/serviceinstances/")
}

/// An object without its owner: the twin's objects are the twin's.
fn owned_by_none(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for part in [
            "ownerReferences",
            "uid",
            "resourceVersion",
            "managedFields",
            "creationTimestamp",
        ] {
            metadata.remove(part);
        }
    }
    object
}

/// Takes one `Database` to Ready behind relays that keep its requests.
pub async fn record(bench: &Bench<'_>) -> Result<Recording, ScaleError> {
    let namespace = format!("{PREFIX}-recorded");
    fresh(&bench.client, &namespace).await?;
    let mut platform = Platform::start_from(&bench.client, &namespace, &namespace, &bench.programs).await?;
    platform.operator_api.record_writes();
    platform.broker_api.record_writes();
    let database = create(&bench.client, &of_bench(&namespace, NAME)?).await?;
    wait_ready::<Database>(&bench.client, &namespace, NAME).await?;
    let mut requests = platform.operator_api.take_writes();
    requests.extend(platform.broker_api.take_writes());
    requests.sort_by_key(|request| request.at);
    let records: Api<ServiceInstance> = Api::namespaced(bench.client.clone(), &namespace);
    let record = records
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .next();
    let record = record.ok_or_else(|| ScaleError::Unexpected("the broker has no record".to_owned()))?;
    platform.end().await?;
    remove(&bench.client, &namespace).await?;
    let recording = Recording {
        requests: requests.into_iter().filter(of_instance).collect(),
        ids: Ids {
            uid: database.uid().unwrap_or_default(),
            record: record.name_any(),
            record_uid: record.uid().unwrap_or_default(),
            name: NAME.to_owned(),
            namespace,
        },
    };
    if recording.requests.iter().any(makes_record) {
        return Ok(recording);
    }
    Err(ScaleError::Unexpected(format!(
        "no record was made among:\n{}",
        recording.lines()
    )))
}

/// Whether a request is the instance's: what is said of teams and brokers is said of many instances at once.
fn of_instance(request: &Recorded) -> bool {
    let shared = ["/teams/", "/brokers/", "/leases", "/events"];
    !shared.iter().any(|part| request.path().contains(part))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn ids(n: u8) -> Ids {
        let text = |what: &str| format!("{what}-{n}");
        Ids {
            namespace: text("ns"),
            name: if n == 0 { NAME.to_owned() } else { text("d") },
            uid: text("uid"),
            record: text("deploy"),
            record_uid: text("owner"),
        }
    }

    fn request(method: &str, uri: &str, body: &Value) -> Recorded {
        Recorded {
            at: Instant::now(),
            method: method.to_owned(),
            uri: uri.to_owned(),
            content_type: None,
            body: body.to_string().into_bytes(),
        }
    }

    fn recording() -> Recording {
        let owned = json!({"kind": "Service", "metadata": {"name": "kidp-template-db", "ownerReferences": [{"uid": "owner-0"}]}});
        Recording {
            requests: vec![
                request(
                    "PATCH",
                    "/apis/p/v1/namespaces/ns-0/databases/kidp-template/status?force=true",
                    &json!({}),
                ),
                request(
                    "POST",
                    "/apis/p/v1/namespaces/ns-0/serviceinstances",
                    &json!({"metadata": {"name": "deploy-0"}}),
                ),
                request(
                    "PATCH",
                    "/api/v1/namespaces/ns-0/services/kidp-template-db",
                    &owned,
                ),
            ],
            ids: ids(0),
        }
    }

    #[test]
    fn every_name_and_id_is_another_instances() {
        let text = "ns-0/kidp-template-db uid-0 deploy-0 owner-0";
        assert_eq!(
            recording().rewritten(text, &ids(1)),
            "ns-1/d-1-db uid-1 deploy-1 owner-1"
        );
    }

    #[test]
    fn the_template_has_the_objects_without_their_owner_and_the_record() {
        let template: Value = serde_json::from_str(&recording().template()).unwrap();
        let expected = json!({"name": NAME, "namespace": "ns-0", "record": {"metadata": {"name": "deploy-0"}},
            "objects": [{"kind": "Service", "metadata": {"name": "kidp-template-db"}}]});
        assert_eq!(template, expected);
    }

    #[test]
    fn requests_are_told_by_what_they_change() {
        let lines =
            "PATCH databases/kidp-template/status\nPOST serviceinstances\nPATCH services/kidp-template-db\n";
        assert_eq!(recording().lines(), lines);
    }

    #[test]
    fn what_is_said_of_many_instances_is_not_the_instances() {
        let of = |uri: &str| of_instance(&request("PATCH", uri, &json!({})));
        assert!(
            of("/apis/p/v1/namespaces/n/databases/d") && !of("/apis/p/v1/namespaces/n/teams/payments/status")
        );
    }
}

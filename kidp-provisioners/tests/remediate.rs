//! What of an instance's drift is put back, against an API server in memory that applies as a whole.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use kidp_drift::Change;
use kidp_provisioners::apply::Remediated;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{Options, Provisioner};
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::running::{CLAIM, SET, orders, running};

async fn remediate(server: &ApiServer, judge: &(dyn Fn(&Change) -> bool + Send + Sync)) -> Remediated {
    Postgresql::default()
        .remediate(&server.client(), &orders(), &Options::default(), judge)
        .await
        .unwrap()
}

fn edit(server: &ApiServer, path: &str, pointer: &str, value: Value) {
    server.with(|state| *state.objects.get_mut(path).unwrap().pointer_mut(pointer).unwrap() = value);
}

fn paths(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.path.as_str()).collect()
}

#[tokio::test]
async fn nothing_is_written_where_nothing_is_put_back() {
    let server = running().await;
    edit(&server, SET, "/spec/replicas", json!(3));
    server.with(|state| state.objects.retain(|path, _| !path.contains("/configmaps/")));
    let done = remediate(&server, &|_| false).await;
    assert_eq!(server.take_writes(), [""; 0]);
    assert_eq!((done.written.len(), done.put_back.len()), (0, 0));
    let left: Vec<_> = done
        .left
        .iter()
        .map(|c| (c.object.as_str(), c.path.as_str()))
        .collect();
    assert!(
        left.contains(&("StatefulSet/orders-postgresql", "spec.replicas")),
        "{left:?}"
    );
    assert!(
        left.iter()
            .any(|(object, path)| object.starts_with("ConfigMap/") && path.is_empty()),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_object_is_applied_without_the_fields_that_are_left() {
    let server = running().await;
    edit(&server, SET, "/spec/replicas", json!(3));
    edit(
        &server,
        SET,
        "/metadata/labels/app.kubernetes.io~1part-of",
        json!("else"),
    );
    let done = remediate(&server, &|change| change.path != "spec.replicas").await;
    assert_eq!(server.take_writes().len(), 1);
    assert_eq!(paths(&done.left), ["spec.replicas"]);
    assert_eq!(
        paths(&done.put_back),
        ["metadata.labels[app.kubernetes.io/part-of]"]
    );
    let replicas = server.with(|state| state.objects[SET]["spec"]["replicas"].clone());
    assert_ne!(replicas, json!(1), "what is left is not in what is applied");
}

#[tokio::test]
async fn an_object_of_another_rendering_is_applied_whole() {
    let server = running().await;
    edit(&server, SET, "/spec/replicas", json!(3));
    let note = "/metadata/annotations/platform.company.com~1applied-hash";
    edit(&server, SET, note, json!("of-another-rendering"));
    let done = remediate(&server, &|_| false).await;
    assert_eq!(done.written, ["StatefulSet/orders-postgresql"]);
    let replicas = server.with(|state| state.objects[SET]["spec"]["replicas"].clone());
    assert_eq!(replicas, json!(1));
}

/// `fieldsV1` of the note alone, as the API server records it.
fn note_of(manager: &str, operation: &str) -> Value {
    json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:annotations": {"f:platform.company.com/applied-hash": {}}}}})
}

#[tokio::test]
async fn a_note_that_was_taken_off_or_edited_comes_back_without_what_is_left() {
    let notes = "/metadata/annotations";
    let key = "platform.company.com/applied-hash";
    for by_hand in [json!({}), json!({key: "edited"}), json!(null)] {
        let server = running().await;
        let before = server.with(|state| state.objects[SET].pointer(notes).unwrap()[key].clone());
        edit(&server, SET, "/spec/replicas", json!(3));
        edit(&server, SET, notes, by_hand);
        server.with(|state| {
            if state.objects[SET].pointer(notes).unwrap().is_null() {
                let metadata = &mut state.objects.get_mut(SET).unwrap()["metadata"];
                metadata.as_object_mut().unwrap().remove("annotations");
            }
            let owners = json!([note_of("kidp-broker", "Apply"), note_of("kubectl-edit", "Update")]);
            state.objects.get_mut(SET).unwrap()["metadata"]["managedFields"] = owners;
        });
        let done = remediate(&server, &|_| false).await;
        assert_eq!(done.written, ["StatefulSet/orders-postgresql"]);
        assert_eq!(paths(&done.left), ["spec.replicas"]);
        assert_eq!(done.put_back, []);
        let set = server.with(|state| state.objects[SET].clone());
        assert_ne!(
            set["spec"]["replicas"],
            json!(1),
            "what is left is not in what is applied"
        );
        assert_eq!(set.pointer(notes).unwrap()[key], before);
    }
}

#[tokio::test]
async fn what_others_add_is_left_and_told_and_causes_no_write() {
    let server = running().await;
    server.with(|state| {
        let set = state.objects.get_mut(SET).unwrap();
        let pod = &mut set["spec"]["template"]["spec"];
        let sidecar = json!({"name": "spy", "image": "spy:1", "env": [{"name": "A", "value": "hunter2"}]});
        pod["containers"].as_array_mut().unwrap().push(sidecar);
        pod["hostNetwork"] = json!(true);
        set["metadata"]["managedFields"] = json!([{
            "manager": "kubectl-patch", "operation": "Update", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": {
                "f:hostNetwork": {}, "f:containers": {"k:{\"name\":\"spy\"}": {".": {}, "f:image": {}, "f:name": {}, "f:env": {}}}
            }}}}
        }]);
    });
    let done = remediate(&server, &|_| true).await;
    assert_eq!(server.take_writes(), [""; 0]);
    assert_eq!(done.put_back, []);
    let pod = "spec.template.spec";
    assert_eq!(
        paths(&done.left),
        [
            format!("{pod}.containers[name=spy]"),
            format!("{pod}.hostNetwork")
        ]
    );
    for change in &done.left {
        assert!(change.added && change.author.as_ref().unwrap().manager == "kubectl-patch");
        assert_eq!(change.consequence, kidp_drift::Consequence::RollingRestart);
        assert!(!format!("{change} {change:?}").contains("hunter2"));
    }
    let drift = Postgresql::default()
        .drift(&server.client(), &orders())
        .await
        .unwrap();
    assert_eq!(drift.changes, done.left);
}

#[tokio::test]
async fn a_claim_that_was_grown_is_left_whoever_wants_it_back() {
    let server = running().await;
    edit(&server, CLAIM, "/spec/resources/requests/storage", json!("900Gi"));
    let done = remediate(&server, &|_| true).await;
    assert_eq!(server.take_writes(), [""; 0]);
    assert_eq!(paths(&done.left), ["spec.resources.requests.storage"]);
}

//! Who is named for a change.

use serde_json::{Value, json};

use crate::{diff, diff_as};

fn entry(manager: &str, time: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields})
}

fn live(entries: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "managedFields": entries, "finalizers": ["b/c"]},
        "spec": {"hostname": "live", "containers": [
            {"name": "a", "image": "live", "args": ["live"], "ports": [{"containerPort": 1, "protocol": "TCP", "name": "live"}]}]}})
}

fn desired() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"hostname": "desired", "containers": [
        {"name": "a", "image": "desired", "args": ["desired"], "ports": [{"containerPort": 1, "name": "desired"}]}]}})
}

/// The managers of args, image, port name and host name.
fn managers(entries: &[Value]) -> Vec<String> {
    diff(&desired(), &live(entries))
        .into_iter()
        .map(|change| change.author.map(|author| author.manager).unwrap_or_default())
        .collect()
}

#[test]
fn the_author_is_the_manager_of_the_field() {
    let desired =
        json!({"kind": "S", "metadata": {"name": "n"}, "spec": {"replicas": 1, "c": [{"name": "a"}]}});
    let live = json!({"kind": "S", "metadata": {"name": "n", "managedFields": [
        {"manager": "kidp-broker", "operation": "Apply", "fieldsV1": {"f:spec": {"f:c": {}}}},
        {"manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:00Z", "subresource": "scale",
         "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]}, "spec": {"replicas": 2, "c": [{"name": "a"}]}});
    let changes = diff(&desired, &live);
    assert_eq!(
        changes[0].to_string(),
        "S/n spec.replicas: 1 became 2 (by kubectl, Update of scale at 2026-01-01T00:00:00Z)"
    );
}

#[test]
fn items_are_found_by_their_keys_and_atomic_lists_as_a_whole() {
    let container = r#"k:{"name":"a"}"#;
    let port = r#"k:{"containerPort":1,"protocol":"TCP"}"#;
    let entries = [
        entry(
            "image",
            "2",
            &json!({"f:spec": {"f:containers": {container: {".": {}, "f:image": {}, "f:name": {}}}}}),
        ),
        entry(
            "args",
            "1",
            &json!({"f:spec": {"f:containers": {container: {"f:args": {}}}}}),
        ),
        entry(
            "port",
            "1",
            &json!({"f:spec": {"f:containers": {container: {"f:ports": {port: {"f:name": {}}}}}}}),
        ),
        entry(
            "other",
            "9",
            &json!({"f:spec": {"f:containers": {r#"k:{"name":"b"}"#: {}}}}),
        ),
    ];
    assert_eq!(managers(&entries), ["args", "image", "port", ""]);
}

#[test]
fn keys_in_another_spelling_are_found() {
    let entries = [entry(
        "odd",
        "1",
        &json!({"f:spec": {"f:containers": {r#"k:{ "name": "a" }"#: {"f:image": {}}}}}),
    )];
    assert_eq!(managers(&entries), ["", "odd", "", ""]);
}

#[test]
fn an_owner_of_all_below_is_the_author() {
    let entries = [entry("all", "1", &json!({"f:spec": {"f:containers": {}}}))];
    assert_eq!(managers(&entries), ["all", "all", "all", ""]);
}

#[test]
fn of_several_the_newest_stranger_is_named() {
    let fields = json!({"f:spec": {"f:hostname": {}}});
    let entries = [
        entry("old", "2026-01-01T00:00:00Z", &fields),
        entry("new", "2026-01-02T00:00:00Z", &fields),
        entry("kidp-broker", "2026-01-03T00:00:00Z", &fields),
    ];
    assert_eq!(managers(&entries)[3], "new");
    assert_eq!(managers(&entries[2..])[3], "kidp-broker");
    let mine = diff_as(&["new"], &desired(), &live(&entries[..2]));
    assert_eq!(mine[3].author.as_ref().unwrap().manager, "old");
}

#[test]
fn nobody_is_blamed_for_what_is_gone() {
    let fields = json!({"f:metadata": {"f:labels": {"f:b": {}}}});
    let mut live = live(&[entry("someone", "1", &fields)]);
    live["metadata"]["labels"] = json!({"b": "c"});
    let desired =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "labels": {"a": "x", "b": "x"}}});
    let found: Vec<_> = diff(&desired, &live)
        .into_iter()
        .map(|change| (change.path, change.author.map(|author| author.manager)))
        .collect();
    assert_eq!(
        found,
        [
            ("metadata.labels.a".to_owned(), None),
            ("metadata.labels.b".to_owned(), Some("someone".to_owned())),
        ]
    );
}

#[test]
fn garbled_owners_are_no_owners() {
    for entries in [
        json!(null),
        json!("x"),
        json!([1, null, "x", [], {}]),
        json!([{"manager": 1, "fieldsV1": "x"}, {"fieldsV1": {"f:spec": 1}}, {"fieldsV1": {"f:spec": []}}]),
        json!([{"fieldsV1": {"f:spec": {"f:containers": {"k:{": {}, "k:": {}, "": {}, "k": {}, "ü": {}}}}}]),
    ] {
        let mut live = live(&[]);
        live["metadata"]["managedFields"] = entries.clone();
        let changes = diff(&desired(), &live);
        assert_eq!(changes.len(), 4);
        assert!(changes.iter().all(|change| change.author.is_none()), "{entries}");
    }
    let nameless =
        json!([{"manager": 1, "operation": [], "time": {}, "fieldsV1": {"f:spec": {"f:hostname": {}}}}]);
    let mut live = live(&[]);
    live["metadata"]["managedFields"] = nameless;
    assert_eq!(diff(&desired(), &live)[3].author, Some(crate::Author::default()));
}

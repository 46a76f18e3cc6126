//! The checks on documents as people write them.

use serde_json::json;

use super::*;

fn checker() -> Checker {
    Checker::new(
        ClusterFeatures {
            cert_manager: true,
            cloudnative_pg: true,
            prometheus_operator: true,
        },
        "default",
    )
}

fn document(kind: &str, spec: &Value) -> Document {
    Document {
        file: "a.yaml".to_owned(),
        number: 1,
        value: json!({"apiVersion": "platform.company.com/v1", "kind": kind, "metadata": {"name": "orders"}, "spec": spec}),
    }
}

fn database(changes: &Value) -> Value {
    let mut spec = json!({"owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "15",
        "storage": {"size": "10Gi"}});
    for (name, value) in changes.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    spec
}

fn told(document: &Document, old: Option<&Value>) -> Vec<String> {
    match checker().check(document, old).unwrap() {
        Checked::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
        Checked::NotOurs => vec!["not ours".to_owned()],
    }
}

#[test]
fn what_is_sound_has_no_fault() {
    assert!(told(&document("Database", &database(&json!({}))), None).is_empty());
    let queue = database(&json!({"engine": "rabbitmq", "version": "4"}));
    assert!(told(&document("MessageQueue", &queue), None).is_empty());
    let team = json!({"displayName": "Payments", "owners": ["ada"]});
    assert!(told(&document("Team", &team), None).is_empty());
    let ha = database(&json!({"highAvailability": true}));
    assert!(told(&document("Database", &ha), None).is_empty());
}

#[test]
fn schema_rules_and_engine_each_say_their_part() {
    let schema = database(&json!({"size": "huge", "replicas": 3, "version": 15}));
    insta::assert_snapshot!(told(&document("Database", &schema), None).join("\n"));
    let rule = database(&json!({"engine": "rabbitmq", "version": "4"}));
    insta::assert_snapshot!(told(&document("Database", &rule), None).join("\n"));
    let engine =
        database(&json!({"version": "9", "parameters": {"work_memory": "8MB"}, "storage": {"size": "1Mi"}}));
    insta::assert_snapshot!(told(&document("Database", &engine), None).join("\n"));
    let backup = database(&json!({"backup": {"enabled": true}}));
    insta::assert_snapshot!(told(&document("Database", &backup), None).join("\n"));
}

#[test]
fn what_is_fixed_at_creation_is_refused_against_an_older_one() {
    let old = document("Database", &database(&json!({}))).value;
    let new = database(&json!({"engine": "mysql", "version": "8.4", "storage": {"size": "5Gi"}}));
    insta::assert_snapshot!(told(&document("Database", &new), Some(&old)).join("\n"));
    let larger = database(&json!({"size": "large", "storage": {"size": "20Gi"}}));
    assert!(told(&document("Database", &larger), Some(&old)).is_empty());
}

#[test]
fn kinds_of_others_are_left_alone_and_misspelt_ones_are_not() {
    let mut other = document("Deployment", &json!({}));
    other.value["apiVersion"] = "apps/v1".into();
    assert_eq!(told(&other, None), ["not ours"]);
    let misspelt = document("Databse", &json!({}));
    assert!(told(&misspelt, None)[0].contains("there is no kind `Databse`"));
    let mut extra = document("Database", &database(&json!({})));
    extra.value["sepc"] = json!({});
    extra.value["metadata"]["name"] = "Orders".into();
    assert_eq!(told(&extra, None).len(), 2);
}

/// Every rule of every CRD is one that is understood here: an object that meets its schema is never said to be beyond judgement.
#[test]
fn every_rule_of_the_crds_is_understood() {
    for crd in operator_crds().into_iter().chain(broker_crds()) {
        let version = &crd.spec.versions[0];
        let schema = version
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap();
        let compiled = kube_cel::compile_schema(&serde_json::to_value(schema).unwrap());
        let errors = compiled.compilation_errors();
        assert!(errors.is_empty(), "{}: {errors:?}", crd.spec.names.kind);
    }
    let window = json!({"policy": "remediate", "maintenanceWindow": {"days": ["Sat"], "start": "02:00", "duration": "30h"}});
    let drift = database(&json!({"drift": window}));
    let faults = told(&document("Database", &drift), None);
    assert!(faults.iter().any(|fault| fault.contains("24h")), "{faults:?}");
    assert!(
        faults.iter().all(|fault| !fault.contains("cannot be judged")),
        "{faults:?}"
    );
}

//! What the samples in `deploy/gitops` say holds: values that the charts take, paths that are there, and health scripts that
//! judge the statuses which the operator writes.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{BrokerPhase, BrokerStatus, Database, Phase, ResourceStatus};
use mlua::{Lua, LuaSerdeExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::paths::checkout;

const SCRIPT: &str = "resource.customizations.health.platform.company.com_";

fn gitops() -> PathBuf {
    checkout().join("deploy/gitops")
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents.map(|d| Value::deserialize(d).unwrap()).collect()
}

/// Each kind with its script.
fn scripts() -> Vec<(String, String)> {
    let map = documents(&gitops().join("argocd/health.yaml")).remove(0);
    let data = map["data"].as_object().unwrap().clone();
    let script = |(key, text): (String, Value)| {
        let kind = key.strip_prefix(SCRIPT).unwrap().to_owned();
        (kind, text.as_str().unwrap().to_owned())
    };
    data.into_iter().map(script).collect()
}

/// Health and message, as Argo CD asks for them: the object is a global, the answer a table.
fn judge(script: &str, object: &Value) -> (String, String) {
    let lua = Lua::new();
    let object = lua.to_value(object).unwrap();
    lua.globals().set("obj", object).unwrap();
    let said: mlua::Table = lua.load(script).eval().unwrap();
    (said.get("status").unwrap(), said.get("message").unwrap())
}

fn say(reason: &'static str, message: &str) -> Statement {
    Statement::new(reason, message)
}

/// A `Database` of the second generation with a status of the given one.
fn database(phase: Phase, seen: i64, conditions: impl Fn(i64, Timestamp) -> Vec<Condition>) -> Value {
    let database: Database = serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 2},
        "spec": {"owner": {"kind": "Team", "name": "payments"}, "engine": "postgresql", "version": "16",
            "storage": {"size": "1Gi"}},
    }))
    .unwrap();
    let status = ResourceStatus {
        phase,
        conditions: conditions(seen, Timestamp::UNIX_EPOCH),
        observed_generation: Some(seen),
        ..ResourceStatus::default()
    };
    let mut object = serde_json::to_value(database).unwrap();
    object["status"] = serde_json::to_value(status).unwrap();
    object
}

type Condition = k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

fn ready(seen: i64, now: Timestamp) -> Vec<Condition> {
    conditions::ready(&say("Provisioned", "the database accepts connections"), seen, now)
}

fn failed(seen: i64, now: Timestamp) -> Vec<Condition> {
    conditions::stalled(&say("InvalidField", "spec.version: 9.6 is not served"), seen, now)
}

#[test]
fn every_kind_that_has_conditions_is_judged() {
    let judged: BTreeSet<_> = scripts().into_iter().map(|(kind, _)| kind).collect();
    let has_conditions = |crd: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        schema.pointer("/openAPIV3Schema/properties/status/properties/conditions").is_some()
    };
    let kinds = kidp_core::crd::operator_crds().into_iter();
    let kinds: BTreeSet<_> = kinds
        .filter(has_conditions)
        .map(|crd| crd.spec.names.kind)
        .collect();
    assert_eq!(judged, kinds);
}

#[test]
fn statuses_of_the_operator_are_judged_as_kstatus_does() {
    let mut waiting = database(Phase::Pending, 2, |_, _| Vec::new());
    waiting.as_object_mut().unwrap().remove("status");
    let mut deleting = database(Phase::Deleting, 2, ready);
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let at_work = |seen, now| {
        conditions::reconciling(&say("Provisioning", "broker `local` is at work on it"), seen, now)
    };
    let drifted = |seen, now| {
        let differs = "the database accepts connections, and differs from its spec: spec.replicas";
        conditions::ready(&say("DriftDetected", differs), seen, now)
    };
    let held = |seen, now| conditions::stalled(&say("Suspended", "the broker holds the instance"), seen, now);
    let samples = [
        (waiting, "Progressing", "not seen"),
        (deleting, "Progressing", "removed"),
        (
            database(Phase::Provisioning, 2, at_work),
            "Progressing",
            "Provisioning: broker `local`",
        ),
        (
            database(Phase::Ready, 2, ready),
            "Healthy",
            "Provisioned: the database accepts connections",
        ),
        (database(Phase::Ready, 1, ready), "Progressing", "not seen"),
        (
            database(Phase::Failed, 2, failed),
            "Degraded",
            "InvalidField: spec.version",
        ),
        (database(Phase::Failed, 1, failed), "Progressing", "not seen"),
        (
            database(Phase::DriftDetected, 2, drifted),
            "Healthy",
            "DriftDetected: the database",
        ),
        (
            database(Phase::Suspended, 2, held),
            "Suspended",
            "Suspended: the broker holds",
        ),
    ];
    for (kind, script) in scripts() {
        for (object, health, message) in &samples {
            let (found, said) = judge(&script, object);
            assert_eq!(&found, health, "{kind}: {object}");
            assert!(said.contains(message), "{kind}: {said}");
        }
    }
}

#[test]
fn a_broker_that_does_not_answer_is_degraded() {
    let broker = |phase, conditions: Vec<Condition>| {
        let status = BrokerStatus {
            phase,
            conditions,
            observed_generation: Some(1),
            ..BrokerStatus::default()
        };
        json!({"kind": "Broker", "metadata": {"name": "local", "generation": 1}, "status": status})
    };
    let now = Timestamp::UNIX_EPOCH;
    let checking = conditions::reconciling(&say("Checking", "the broker has not answered yet"), 1, now);
    let offline = conditions::reconciling(&say("Offline", "the broker has not answered for long"), 1, now);
    let scripts = scripts();
    let (_, script) = scripts.iter().find(|(kind, _)| kind == "Broker").unwrap();
    for (object, health) in [
        (broker(BrokerPhase::Pending, checking.clone()), "Progressing"),
        (broker(BrokerPhase::Ready, ready(1, now)), "Healthy"),
        (broker(BrokerPhase::Unhealthy, checking), "Degraded"),
        (broker(BrokerPhase::Offline, offline.clone()), "Degraded"),
        (broker(BrokerPhase::Unknown, offline), "Degraded"),
    ] {
        assert_eq!(judge(script, &object).0, health, "{object}");
    }
}

/// Values that are given and that the chart's schema does not have.
fn unknown(values: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    for (name, value) in values.as_object().unwrap() {
        let path = format!("{at}.{name}");
        match properties.get(name) {
            Some(schema) => unknown(value, schema, &path, found),
            None => found.push(path),
        }
    }
}

#[test]
fn samples_give_charts_values_that_they_take() {
    let applications = documents(&gitops().join("argocd/applications.yaml"));
    let releases = documents(&gitops().join("flux/releases.yaml"));
    let of_argo = applications.iter().map(|a| {
        let source = &a["spec"]["source"];
        (&source["path"], &source["helm"]["valuesObject"])
    });
    let releases = releases.iter().filter(|r| r["kind"] == "HelmRelease");
    let of_flux = releases.map(|r| (&r["spec"]["chart"]["spec"]["chart"], &r["spec"]["values"]));
    let mut checked = 0;
    for (chart, values) in of_argo.chain(of_flux) {
        let chart = checkout().join(chart.as_str().unwrap());
        let schema = std::fs::read_to_string(chart.join("values.schema.json")).unwrap();
        let mut found = Vec::new();
        unknown(values, &serde_json::from_str(&schema).unwrap(), "", &mut found);
        assert!(found.is_empty(), "{}: {found:?}", chart.display());
        checked += 1;
    }
    assert_eq!(checked, 4);
}

#[test]
fn the_overlay_is_of_manifests_that_are_there() {
    let folder = gitops().join("kustomize");
    let overlay = documents(&folder.join("kustomization.yaml")).remove(0);
    let resources = overlay["resources"].as_array().unwrap();
    let images: Vec<_> = overlay["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["name"])
        .collect();
    assert_eq!(images, ["localhost/kidp-operator", "localhost/kidp-broker"]);
    for resource in resources {
        let base = folder.join(resource.as_str().unwrap());
        let base = documents(&base.join("kustomization.yaml")).remove(0);
        assert_eq!(base["kind"], "Kustomization", "{resource}");
    }
}

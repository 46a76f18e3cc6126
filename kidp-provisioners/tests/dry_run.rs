//! What is accepted is rendered, and the API server of `KUBECONFIG` takes every object of it: arbitrary requests of every
//! engine, each object sent as a server-side dry run with strict validation. What the server makes of it, with all of its
//! defaults, is no drift. Nothing is written but the namespace.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test dry_run
//! ```
//! PostgreSQL with failover is among them where CloudNativePG is installed, and its webhook is asked as well. The seed
//! of a failure is printed; `KIDP_SEED=<hex>` repeats it.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kidp_provisioners::{ClusterFeatures, Instance, Object, Provisioner};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Request};
use kube::client::Body;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};
use support::credentials;
use support::specs::{engines, instances_of, settings_of};

/// Cases of each engine.
const CASES: u32 = 16;
const SEED: &str = "KIDP_SEED";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Answers what the API server says against an object, a refusal or a warning, or what of it would count as drift.
async fn complaint(client: &Client, namespace: &str, object: &Object) -> Option<String> {
    let resource = object.resource();
    let group = if resource.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let url = format!(
        "{group}/{}/namespaces/{namespace}/{}",
        resource.api_version, resource.plural
    );
    let params = PatchParams::apply("kidp-dry-run")
        .force()
        .dry_run()
        .validation_strict();
    let request = Request::new(url)
        .patch(object.name(), &params, &Patch::Apply(object.json()))
        .unwrap();
    let answer = tokio::time::timeout(TIMEOUT, client.send(request.map(Body::from)));
    let answer = answer.await.unwrap().unwrap();
    let warnings: Vec<_> = answer.headers().get_all("warning").iter().collect();
    let (status, warned) = (answer.status(), format!("{warnings:?}"));
    let body = answer.into_body().collect_bytes().await.unwrap();
    if status.is_success() && warned == "[]" {
        let made: Value = serde_json::from_slice(&body).unwrap();
        let mut changes = kidp_drift::diff(object.json(), &made);
        changes.extend(kidp_drift::additions(object.json(), &made));
        changes.extend(kidp_drift::additions(object.json(), &all_of_a_stranger(&made)));
        return (!changes.is_empty()).then(|| format!("{}: drifts at once: {changes:?}", object.key()));
    }
    let body = String::from_utf8_lossy(&body)
        .chars()
        .take(2000)
        .collect::<String>();
    Some(format!("{}: {status}, warnings {warned}: {body}", object.key()))
}

/// The object as if somebody else had written all of it, defaults included: that is no addition either.
fn all_of_a_stranger(made: &Value) -> Value {
    let mut object = made.clone();
    object["metadata"]["managedFields"] = json!([
        {"manager": "stranger", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields_of(made, "")}
    ]);
    object
}

/// `fieldsV1` of a value in the field `name`: with keys where its list has some.
fn fields_of(value: &Value, name: &str) -> Value {
    let keys: &[&str] = match name {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" if value[0].get("containerPort").is_some() => &["containerPort", "protocol"],
        "ports" => &["port", "protocol"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => &[],
    };
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (format!("f:{name}"), fields_of(value, name)))
            .collect(),
        Value::Array(list) if !keys.is_empty() => list
            .iter()
            .map(|item| {
                let key: serde_json::Map<_, _> = keys
                    .iter()
                    .map(|key| ((*key).to_owned(), item[*key].clone()))
                    .collect();
                (format!("k:{}", Value::Object(key)), fields_of(item, ""))
            })
            .collect(),
        _ => json!({}),
    }
}

/// The request without the parameters that are refused; none where something else is.
fn accepted(engine: &dyn Provisioner, mut instance: Instance) -> Option<Instance> {
    let Err(faults) = engine.validate(&instance) else {
        return Some(instance);
    };
    for fault in faults {
        let name = fault.field.strip_prefix("spec.parameters.")?;
        instance.spec.parameters.remove(name);
    }
    engine.validate(&instance).is_ok().then_some(instance)
}

fn seed() -> [u8; 16] {
    let given = std::env::var(SEED).ok();
    given.map_or_else(rand::random, |hex| {
        u128::from_str_radix(&hex, 16).unwrap().to_be_bytes()
    })
}

/// Sends what is rendered for arbitrary requests of the engine of a place; answers how many objects were sent.
fn try_engine(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    namespace: &str,
    place: usize,
    features: ClusterFeatures,
    seed: [u8; 16],
) -> usize {
    let engine = engines().remove(place);
    let sent = std::cell::Cell::new(0);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &seed));
    let outcome = runner.run(
        &(instances_of(place), settings_of(place)),
        |(instance, parameters)| {
            let mut instance = Instance {
                namespace: namespace.to_owned(),
                features,
                ..instance
            };
            instance.spec.parameters = parameters;
            let Some(instance) = accepted(engine.as_ref(), instance) else {
                return Err(TestCaseError::reject("refused"));
            };
            let manifests = engine
                .build(&instance, &credentials(engine.as_ref(), &instance))
                .unwrap();
            for object in manifests.objects() {
                let complaint = runtime.block_on(complaint(client, namespace, object));
                prop_assert_eq!(complaint, None);
                sent.set(sent.get() + 1);
            }
            Ok(())
        },
    );
    if let Err(TestError::Fail(why, (instance, parameters))) = &outcome {
        let seed = u128::from_be_bytes(seed);
        panic!(
            "{why}\n{:?} with {parameters:?}\n{SEED}={seed:032x}",
            instance.spec
        );
    }
    outcome.unwrap();
    sent.get()
}

#[test]
fn an_api_server_takes_whatever_is_accepted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::try_default()).unwrap();
    let features = runtime.block_on(ClusterFeatures::discover(&client)).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = format!("kidp-dry-run-{}", std::process::id());
    let label = (
        "pod-security.kubernetes.io/enforce".to_owned(),
        "restricted".to_owned(),
    );
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([label])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    runtime
        .block_on(namespaces.create(&PostParams::default(), &namespace))
        .unwrap();
    let seed = seed();
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for (place, engine) in engines().iter().enumerate() {
            let sent = try_engine(&runtime, &client, &name, place, features, seed);
            println!(
                "{} {}: {CASES} requests, {sent} objects",
                engine.resource_type(),
                engine.engine()
            );
        }
    }));
    runtime
        .block_on(namespaces.delete(&name, &DeleteParams::default()))
        .unwrap();
    println!("with CloudNativePG: {}", features.cloudnative_pg);
    sent.unwrap();
}

//! What becomes of bindings where no pod is needed, in front of an API server that a closure plays.

use std::sync::Mutex;

use kidp_callback::{Sender, SigningKey, UrlPolicy};
use kidp_provisioners::{ClusterFeatures, Registry};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::features::Features;
use crate::testing;

type Calls = Arc<Mutex<Vec<String>>>;

/// The cluster's instance, if any; pods there are none.
fn context(instance: Option<ServiceInstance>, secret: Option<Value>) -> (Arc<Context>, Calls) {
    let calls = Calls::default();
    let log = calls.clone();
    let client = testing::client(move |method, path| {
        let path = path.split('?').next().unwrap();
        log.lock().unwrap().push(format!(
            "{method} {}",
            path.rsplit('/').nth(1).unwrap_or_default()
        ));
        let found =
            |value: Option<Value>| value.map_or_else(|| testing::failure(404, "NotFound", ""), |v| (200, v));
        match (method, path) {
            ("GET", path) if path.contains("/serviceinstances/") => found(
                instance
                    .as_ref()
                    .map(|record| serde_json::to_value(record).unwrap()),
            ),
            ("GET", path) if path.contains("/secrets/") => found(secret.clone()),
            ("GET", path) if path.ends_with("/pods") => (
                200,
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}),
            ),
            ("POST", path) if path.ends_with("/secrets") => {
                (201, json!({"kind": "Secret", "apiVersion": "v1"}))
            }
            _ => (200, serde_json::to_value(binding()).unwrap()),
        }
    });
    let key = SigningKey::from_seed(&[1; 32]);
    kidp_callback::http::client(Duration::from_secs(1)).unwrap();
    let context = Context::new(
        "eu",
        client,
        Registry::standard(),
        Features::fixed(ClusterFeatures::default()),
        Sender::new(key, "eu").unwrap(),
        UrlPolicy::default(),
        CancellationToken::new(),
    );
    (context, calls)
}

fn binding() -> ServiceBinding {
    let mut binding = bindings::new("eu", &testing::record(), "b-1", None);
    binding.metadata.uid = Some("binding-uid".to_owned());
    binding.metadata.resource_version = Some("3".to_owned());
    binding.metadata.generation = Some(1);
    binding
}

fn time() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH)
}

fn deleting() -> ServiceBinding {
    let mut binding = binding();
    binding.metadata.deletion_timestamp = Some(time());
    binding
}

fn instance(policy: DeletionPolicy, is_deleting: bool) -> ServiceInstance {
    let mut record = testing::record();
    record.spec.instance.deletion_policy = policy;
    record.metadata.deletion_timestamp = is_deleting.then(time);
    record
}

/// What a reconcile of a binding does: the writes, and the pods that are looked for.
async fn run(binding: ServiceBinding, instance: Option<ServiceInstance>) -> Vec<String> {
    run_with(binding, instance, None).await
}

async fn run_with(
    binding: ServiceBinding,
    instance: Option<ServiceInstance>,
    secret: Option<Value>,
) -> Vec<String> {
    let (context, calls) = context(instance, secret);
    reconcile(Arc::new(binding), context).await.unwrap();
    let calls = calls.lock().unwrap().clone();
    let told = |call: &String| !call.starts_with("GET") || call.ends_with("shop");
    calls.into_iter().filter(told).collect()
}

#[tokio::test]
async fn a_login_that_goes_with_its_data_is_let_go() {
    let released = ["PATCH servicebindings"];
    assert_eq!(run(deleting(), None).await, released);
    assert_eq!(
        run(deleting(), Some(instance(DeletionPolicy::Delete, true))).await,
        released
    );
}

#[tokio::test]
async fn a_login_to_data_that_stays_is_removed_first() {
    // A pod is looked for, there is none, and nothing is let go.
    assert_eq!(
        run(deleting(), Some(instance(DeletionPolicy::Retain, true))).await,
        ["GET shop"]
    );
    assert_eq!(
        run(deleting(), Some(instance(DeletionPolicy::Delete, false))).await,
        ["GET shop"]
    );
}

#[tokio::test]
async fn an_engine_without_logins_has_none_to_remove() {
    let mut record = instance(DeletionPolicy::Retain, false);
    record.spec.instance.engine = kidp_core::instance::Engine::Redis;
    assert_eq!(run(deleting(), Some(record)).await, ["PATCH servicebindings"]);
}

#[tokio::test]
async fn the_password_is_kept_before_the_engine_has_it() {
    let made = run(binding(), Some(instance(DeletionPolicy::Delete, false))).await;
    assert_eq!(made, ["POST shop", "GET shop"], "the Secret, then a pod");
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_not_taken() {
    let foreign = json!({"kind": "Secret", "apiVersion": "v1", "data": {"password": "aHVudGVyMg=="}});
    let wrote = run_with(
        binding(),
        Some(instance(DeletionPolicy::Delete, false)),
        Some(foreign),
    )
    .await;
    assert_eq!(wrote.len(), 1, "{wrote:?}");
    assert!(wrote[0].starts_with("PUT"), "the status: {wrote:?}");
}

#[tokio::test]
async fn bindings_of_other_brokers_and_of_what_is_gone() {
    let mut foreign = binding();
    foreign.metadata.name = Some("bind-other".to_owned());
    assert!(run(foreign, Some(testing::record())).await.is_empty());
    let wrote = run(binding(), None).await;
    assert!(wrote.len() == 1 && wrote[0].starts_with("PUT"), "{wrote:?}");
}

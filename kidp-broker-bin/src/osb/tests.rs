//! The rules of the specification, one line each, asked without a network in front of an API server that a closure plays.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use kidp_core::crd::{
    LocalRef, Phase, ServiceBinding, ServiceBindingStatus, ServiceInstance, ServiceInstanceStatus,
};
use kidp_core::instance::{Engine, ResourceType};
use kidp_core::size::Size;
use kidp_provisioners::{ClusterFeatures, Registry};
use kube::ResourceExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::admit::{Desk, resource_name};
use super::catalog::Choice;
use crate::testing::{broker, client, failure};
use crate::{app, bindings, record};

const INSTANCE: &str = "6f1c0c9e-0000-4000-8000-000000000001";
const BINDING: &str = "b1";
const PASSWORD: &str = "hunter2hunter2";

fn choice(engine: Engine, size: Size) -> Choice {
    Choice {
        resource_type: match engine {
            Engine::Redis => ResourceType::Cache,
            _ => ResourceType::Database,
        },
        engine,
        size,
        high_availability: false,
    }
}

fn ids(choice: Choice) -> Value {
    json!({"service_id": choice.service_id("eu"), "plan_id": choice.plan_id("eu")})
}

fn small() -> Choice {
    choice(Engine::Postgresql, Size::Small)
}

/// `ids` and what every platform sends beside them.
fn provision(choice: Choice, more: &Value) -> Value {
    let mut body = json!({"organization_guid": "o", "space_guid": "s",
        "context": {"platform": "kubernetes", "namespace": "shop"}});
    for part in [&ids(choice), more] {
        for (key, value) in part.as_object().unwrap() {
            body[key] = value.clone();
        }
    }
    body
}

fn bind(choice: Choice, more: &Value) -> Value {
    let mut body = ids(choice);
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// What is in the cluster.
#[derive(Clone, Default)]
struct World {
    instance: Option<ServiceInstance>,
    binding: Option<ServiceBinding>,
}

/// An instance in a phase; `usable` when it has been ready before.
fn with(choice: Choice, phase: Phase, usable: bool) -> World {
    let registry = Registry::standard();
    let desk = Desk {
        broker: "eu",
        registry: &registry,
        features: ClusterFeatures::default(),
    };
    let body = serde_json::from_value(provision(choice, &json!({}))).unwrap();
    let (namespace, spec) = desk.provision(INSTANCE, body).unwrap();
    let mut record = record::new(&namespace, spec);
    record.metadata.uid = Some("record-uid".to_owned());
    record.metadata.resource_version = Some("7".to_owned());
    record.metadata.generation = Some(1);
    if phase == Phase::Deleting {
        record.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    }
    record.status = (phase != Phase::Pending).then(|| ServiceInstanceStatus {
        phase,
        observed_generation: Some(1),
        resource_generation: Some(0),
        message: (phase == Phase::Failed).then(|| "the image is not there".to_owned()),
        endpoint: usable.then(|| "osb.shop.svc".to_owned()),
        ..ServiceInstanceStatus::default()
    });
    World {
        instance: Some(record),
        binding: None,
    }
}

fn ready() -> World {
    with(small(), Phase::Ready, true)
}

/// The same with a binding in a phase.
fn bound(world: World, phase: Phase) -> World {
    let mut binding = bindings::new(
        "eu",
        world.instance.as_ref().unwrap(),
        BINDING,
        Some("app".to_owned()),
    );
    binding.metadata.uid = Some("binding-uid".to_owned());
    binding.metadata.generation = Some(1);
    if phase == Phase::Deleting {
        binding.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    }
    binding.status = (phase != Phase::Pending).then(|| ServiceBindingStatus {
        phase,
        observed_generation: Some(1),
        message: (phase == Phase::Failed).then(|| "the engine refused".to_owned()),
        binding: Some(LocalRef {
            name: binding.name_any(),
            namespace: None,
        }),
        ..ServiceBindingStatus::default()
    });
    World {
        binding: Some(binding),
        ..world
    }
}

type Calls = Arc<Mutex<Vec<String>>>;

/// The API server, and what it is asked to write.
fn cluster(world: &World) -> (kube::Client, Calls) {
    let calls = Calls::default();
    let (log, world) = (calls.clone(), world.clone());
    let server = client(move |method, path| {
        if method != "GET" {
            log.lock()
                .unwrap()
                .push(format!("{method} {}", path.split('?').next().unwrap()));
        }
        let listed = |kind: &str, items: Vec<Value>| {
            let list = json!({"kind": format!("{kind}List"), "metadata": {}, "items": items,
                "apiVersion": "broker.platform.company.com/v1alpha1"});
            (200, list)
        };
        let instance = world.instance.as_ref().map(|r| serde_json::to_value(r).unwrap());
        let binding = world.binding.as_ref().map(|b| serde_json::to_value(b).unwrap());
        let one = |found: Option<Value>, kind: &str| match found {
            Some(value) => (200, value),
            None => failure(404, "NotFound", kind),
        };
        let named = |plural: &str| path.contains(&format!("/{plural}/"));
        match method {
            "GET" if named("servicebindings") => one(binding, "servicebindings"),
            "GET" if path.contains("/servicebindings") => {
                listed("ServiceBinding", binding.into_iter().collect())
            }
            "GET" if path.contains("/secrets/") => (200, secret()),
            "GET" => listed("ServiceInstance", instance.into_iter().collect()),
            _ if path.contains("/servicebindings") => {
                let made = bindings::new("eu", world.instance.as_ref().unwrap(), BINDING, None);
                (201, serde_json::to_value(made).unwrap())
            }
            _ => (
                201,
                serde_json::to_value(with(small(), Phase::Pending, false).instance).unwrap(),
            ),
        }
    });
    (server, calls)
}

fn secret() -> Value {
    use base64::Engine as _;
    let text = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "ownerReferences": [
        {"apiVersion": "broker.platform.company.com/v1alpha1", "kind": "ServiceBinding", "name": "b", "uid": "binding-uid"}]},
        "data": {"host": text("osb.shop.svc"), "port": text("5432"), "username": text("bind_x"), "password": text(PASSWORD)}})
}

/// A request: method, what follows `/v2/`, body.
fn request(method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v2/{path}"))
        .header("x-broker-api-version", "2.17")
        .header(
            "x-broker-api-originating-identity",
            "nonsense that is not looked at",
        );
    match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    }
    .unwrap()
}

async fn ask(world: &World, request: Request<Body>) -> (u16, Value, Vec<String>) {
    let (client, calls) = cluster(world);
    let mut broker = broker(client);
    broker.registry = Registry::standard();
    let response = app(Arc::new(broker)).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 4 << 20).await.unwrap();
    let calls = calls.lock().unwrap().clone();
    (status, serde_json::from_slice(&body).unwrap(), calls)
}

/// One rule: what it is, the world, the request, the status, and where a field is at fault, which.
struct Rule(
    &'static str,
    World,
    &'static str,
    String,
    Option<Value>,
    u16,
    &'static str,
);

fn at(suffix: &str) -> String {
    format!("service_instances/{INSTANCE}{suffix}")
}

fn removal(choice: Choice, suffix: &str) -> String {
    let ids = ids(choice);
    let text = |key: &str| ids[key].as_str().unwrap().to_owned();
    at(&format!(
        "{suffix}?accepts_incomplete=true&service_id={}&plan_id={}",
        text("service_id"),
        text("plan_id")
    ))
}

const LATER: &str = "?accepts_incomplete=true";

async fn check(name: &str, rules: Vec<Rule>) {
    let mut lines = Vec::new();
    for Rule(what, world, method, path, body, code, word) in rules {
        let (status, answer, calls) = ask(&world, request(method, &path, body.as_ref())).await;
        assert_eq!(status, code, "{what}: {answer}");
        let said = match answer["details"][0]["field"].as_str() {
            Some(field) => field,
            None => answer["error"]
                .as_str()
                .or(answer["operation"].as_str())
                .unwrap_or_default(),
        };
        assert_eq!(said, word, "{what}: {answer}");
        assert!(
            status < 400 || status == 410 || answer["description"].is_string(),
            "{what}: {answer}"
        );
        let wrote: Vec<_> = calls
            .iter()
            .map(|call| call.rsplit('/').next().unwrap_or_default())
            .collect();
        let verbs: Vec<_> = calls
            .iter()
            .map(|call| call.split(' ').next().unwrap_or_default())
            .collect();
        lines.push(format!(
            "{what}\n  {method} {status} {answer}\n  writes: {verbs:?} {}",
            wrote.len()
        ));
    }
    insta::assert_snapshot!(name, lines.join("\n"));
}

#[tokio::test]
async fn provisioning() {
    let put = |body| Some(provision(small(), &body));
    let here = || at(LATER);
    let nowhere = World::default;
    let same = || Some(provision(small(), &json!({})));
    let redis = choice(Engine::Redis, Size::Small);
    #[rustfmt::skip]
    let rules = vec![
        Rule("a new instance", nowhere(), "PUT", here(), same(), 202, "provision"),
        Rule("without async", nowhere(), "PUT", at(""), same(), 422, "AsyncRequired"),
        Rule("with a wrong word", nowhere(), "PUT", at("?accepts_incomplete=maybe"), same(), 400, "accepts_incomplete"),
        Rule("while it is made", with(small(), Phase::Pending, false), "PUT", here(), same(), 202, "provision"),
        Rule("when it is ready", ready(), "PUT", here(), same(), 200, ""),
        Rule("after it failed", with(small(), Phase::Failed, false), "PUT", here(), same(), 202, "provision"),
        Rule("while it is removed", with(small(), Phase::Deleting, true), "PUT", here(), same(), 422, "ConcurrencyError"),
        Rule("another plan", ready(), "PUT", here(), Some(provision(choice(Engine::Postgresql, Size::Large), &json!({}))), 409, "instance_id"),
        Rule("another service", ready(), "PUT", here(), Some(provision(redis, &json!({}))), 409, "instance_id"),
        Rule("other parameters", ready(), "PUT", here(), put(json!({"parameters": {"version": "15"}})), 409, "instance_id"),
        Rule("another namespace", ready(), "PUT", here(), put(json!({"context": {"platform": "kubernetes", "namespace": "other"}})), 409, "instance_id"),
        Rule("an unknown service", nowhere(), "PUT", here(), put(json!({"service_id": "x"})), 400, "service_id"),
        Rule("an unknown plan", nowhere(), "PUT", here(), put(json!({"plan_id": "x"})), 400, "plan_id"),
        Rule("a plan of another service", nowhere(), "PUT", here(), put(json!({"plan_id": redis.plan_id("eu")})), 400, "plan_id"),
        Rule("no organisation", nowhere(), "PUT", here(), Some(ids(small())), 400, "organization_guid"),
        Rule("an empty space", nowhere(), "PUT", here(), put(json!({"space_guid": ""})), 400, "space_guid"),
        Rule("no namespace", nowhere(), "PUT", here(), put(json!({"context": {"platform": "cloudfoundry"}})), 400, "parameters.namespace"),
        Rule("a namespace as a parameter", nowhere(), "PUT", here(), put(json!({"context": null, "parameters": {"namespace": "shop"}})), 202, "provision"),
        Rule("two namespaces", nowhere(), "PUT", here(), put(json!({"parameters": {"namespace": "other"}})), 400, "parameters.namespace"),
        Rule("a bad namespace", nowhere(), "PUT", here(), put(json!({"context": {"platform": "kubernetes", "namespace": "A B"}})), 400, "context.namespace"),
        Rule("an unknown version", nowhere(), "PUT", here(), put(json!({"parameters": {"version": "1"}})), 400, "parameters.version"),
        Rule("an unknown parameter", nowhere(), "PUT", here(), put(json!({"parameters": {"colour": "red"}})), 400, "parameters.colour"),
        Rule("an unknown engine parameter", nowhere(), "PUT", here(), put(json!({"parameters": {"parameters": {"colour": "red"}}})), 400, "parameters.parameters.colour"),
        Rule("a bad team", nowhere(), "PUT", here(), put(json!({"parameters": {"team": "a b"}})), 400, "parameters.team"),
        Rule("an old catalog", nowhere(), "PUT", here(), put(json!({"maintenance_info": {"version": "0.0.1"}})), 422, "maintenance_info.version"),
        Rule("the catalog's rendering", nowhere(), "PUT", here(), put(json!({"maintenance_info": {"version": "1.0.0"}})), 202, "provision"),
        Rule("an unknown field beside", nowhere(), "PUT", here(), put(json!({"surprise": 1})), 202, "provision"),
        Rule("a bad id", nowhere(), "PUT", format!("service_instances/a%20b{LATER}"), same(), 400, "instance_id"),
        Rule("an id that is no text", nowhere(), "PUT", format!("service_instances/%ff{LATER}"), same(), 400, "MalformedRequest"),
        Rule("no body", nowhere(), "PUT", here(), None, 415, "UnsupportedMediaType"),
    ];
    check("provisioning", rules).await;
}

#[tokio::test]
async fn updating() {
    let service = small().service_id("eu");
    let patch = |more: Value| {
        let mut body = json!({"service_id": service});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        Some(body)
    };
    let medium = choice(Engine::Postgresql, Size::Medium).plan_id("eu");
    let bigger = || patch(json!({"plan_id": medium}));
    let here = || at(LATER);
    let of = |phase, usable| with(small(), phase, usable);
    #[rustfmt::skip]
    let rules = vec![
        Rule("another plan", ready(), "PATCH", here(), bigger(), 202, "update"),
        Rule("without async", ready(), "PATCH", at(""), bigger(), 422, "AsyncRequired"),
        Rule("nothing", ready(), "PATCH", here(), patch(json!({})), 200, ""),
        Rule("nothing, while it is made", of(Phase::Pending, false), "PATCH", here(), patch(json!({})), 202, "update"),
        Rule("repair of what failed", of(Phase::Failed, false), "PATCH", here(), bigger(), 202, "update"),
        Rule("repair of what hangs", of(Phase::Provisioning, false), "PATCH", here(), bigger(), 202, "update"),
        Rule("while it is removed", of(Phase::Deleting, true), "PATCH", here(), bigger(), 422, "ConcurrencyError"),
        Rule("what is not there", World::default(), "PATCH", here(), bigger(), 404, "instance_id"),
        Rule("another service", ready(), "PATCH", here(), patch(json!({"service_id": "x"})), 400, "service_id"),
        Rule("an unknown plan", ready(), "PATCH", here(), patch(json!({"plan_id": "x"})), 400, "plan_id"),
        Rule("a smaller volume", ready(), "PATCH", here(), patch(json!({"parameters": {"storage": {"size": "1Gi"}}})), 400, "parameters.storage.size"),
        Rule("a larger volume", ready(), "PATCH", here(), patch(json!({"parameters": {"storage": {"size": "20Gi"}}})), 202, "update"),
        Rule("another namespace", ready(), "PATCH", here(), patch(json!({"parameters": {"namespace": "other"}})), 400, "parameters.namespace"),
        Rule("an unknown version", ready(), "PATCH", here(), patch(json!({"parameters": {"version": "1"}})), 400, "parameters.version"),
        Rule("a bad team", ready(), "PATCH", here(), patch(json!({"parameters": {"team": "a b"}})), 400, "parameters.team"),
        Rule("an old catalog", ready(), "PATCH", here(), patch(json!({"maintenance_info": {"version": "9.0.0"}})), 422, "maintenance_info.version"),
        Rule("the rendering that it has", ready(), "PATCH", here(), patch(json!({"maintenance_info": {"version": "1.0.0"}})), 200, ""),
    ];
    check("updating", rules).await;
}

#[tokio::test]
async fn deprovisioning_and_looking() {
    let gone = World::default;
    let here = || removal(small(), "");
    let of = |phase, usable| with(small(), phase, usable);
    let large = choice(Engine::Postgresql, Size::Large);
    let poll = |operation: &str| at(&format!("/last_operation?operation={operation}"));
    #[rustfmt::skip]
    let rules = vec![
        Rule("removal", ready(), "DELETE", here(), None, 202, "deprovision"),
        Rule("removal of what is made", of(Phase::Pending, false), "DELETE", here(), None, 202, "deprovision"),
        Rule("removal again", of(Phase::Deleting, true), "DELETE", here(), None, 202, "deprovision"),
        Rule("removal of what is gone", gone(), "DELETE", here(), None, 410, ""),
        Rule("removal without async", ready(), "DELETE", here().replace("accepts_incomplete=true&", ""), None, 422, "AsyncRequired"),
        Rule("removal without ids", ready(), "DELETE", at(LATER), None, 400, "service_id"),
        Rule("removal by another plan", ready(), "DELETE", removal(large, ""), None, 400, "plan_id"),
        Rule("removal of what is bound", bound(ready(), Phase::Ready), "DELETE", here(), None, 400, "instance_id"),
        Rule("removal of what is being unbound", bound(ready(), Phase::Deleting), "DELETE", here(), None, 202, "deprovision"),
        Rule("look", ready(), "GET", at(""), None, 200, ""),
        Rule("look with hints", ready(), "GET", at("?service_id=x&plan_id=y"), None, 200, ""),
        Rule("look at what is made", of(Phase::Pending, false), "GET", at(""), None, 404, "instance_id"),
        Rule("look at what is changed", of(Phase::Provisioning, true), "GET", at(""), None, 422, "ConcurrencyError"),
        Rule("look at what is not there", gone(), "GET", at(""), None, 404, "instance_id"),
        Rule("poll what is made", of(Phase::Pending, false), "GET", poll("provision"), None, 200, ""),
        Rule("poll what is ready", ready(), "GET", poll("provision"), None, 200, ""),
        Rule("poll what failed", of(Phase::Failed, false), "GET", poll("provision"), None, 200, ""),
        Rule("poll a failed update", of(Phase::Failed, true), "GET", poll("update"), None, 200, ""),
        Rule("poll a removal", of(Phase::Deleting, true), "GET", poll("deprovision"), None, 200, ""),
        Rule("poll what is removed", gone(), "GET", poll("deprovision"), None, 410, ""),
        Rule("poll what is gone, without a word", gone(), "GET", at("/last_operation"), None, 410, ""),
        Rule("poll what should be there", gone(), "GET", poll("provision"), None, 404, "instance_id"),
    ];
    check("deprovisioning_and_looking", rules).await;
}

#[tokio::test]
async fn binding() {
    let suffix = format!("/service_bindings/{BINDING}");
    let here = || at(&format!("{suffix}{LATER}"));
    let plain = || at(&suffix);
    let gone = || removal(small(), &suffix);
    let poll = |operation: &str| at(&format!("{suffix}/last_operation?operation={operation}"));
    let app = || Some(bind(small(), &json!({"bind_resource": {"app_guid": "app"}})));
    let other = || Some(bind(small(), &json!({"bind_resource": {"app_guid": "other"}})));
    let redis = choice(Engine::Redis, Size::Small);
    let of = |phase| bound(ready(), phase);
    #[rustfmt::skip]
    let rules = vec![
        Rule("a new binding", ready(), "PUT", here(), app(), 202, "bind"),
        Rule("without async", ready(), "PUT", plain(), app(), 422, "AsyncRequired"),
        Rule("while it is made", of(Phase::Pending), "PUT", here(), app(), 202, "bind"),
        Rule("when it is there", of(Phase::Ready), "PUT", here(), app(), 200, ""),
        Rule("as older platforms say it", of(Phase::Ready), "PUT", here(), Some(bind(small(), &json!({"app_guid": "app"}))), 200, ""),
        Rule("another application", of(Phase::Ready), "PUT", here(), other(), 409, "binding_id"),
        Rule("while it is removed", of(Phase::Deleting), "PUT", here(), app(), 422, "ConcurrencyError"),
        Rule("while the instance is made", with(small(), Phase::Pending, false), "PUT", here(), app(), 422, "ConcurrencyError"),
        Rule("while the instance is removed", with(small(), Phase::Deleting, true), "PUT", here(), app(), 422, "ConcurrencyError"),
        Rule("without an instance", World::default(), "PUT", here(), app(), 404, "instance_id"),
        Rule("by another plan", ready(), "PUT", here(), Some(bind(choice(Engine::Postgresql, Size::Large), &json!({}))), 400, "plan_id"),
        Rule("by another service", ready(), "PUT", here(), Some(bind(redis, &json!({}))), 400, "service_id"),
        Rule("an engine without logins", with(redis, Phase::Ready, true), "PUT", here(), Some(bind(redis, &json!({}))), 400, "service_id"),
        Rule("with parameters", ready(), "PUT", here(), Some(bind(small(), &json!({"parameters": {"role": "admin"}}))), 400, "parameters.role"),
        Rule("with an empty application", ready(), "PUT", here(), Some(bind(small(), &json!({"app_guid": ""}))), 400, "app_guid"),
        Rule("a bad id", ready(), "PUT", at(&format!("/service_bindings/a.b{LATER}")), app(), 400, "binding_id"),
        Rule("look", of(Phase::Ready), "GET", plain(), None, 200, ""),
        Rule("look at what is made", of(Phase::Pending), "GET", plain(), None, 404, "binding_id"),
        Rule("look at what failed", of(Phase::Failed), "GET", plain(), None, 404, "binding_id"),
        Rule("look at what is not there", ready(), "GET", plain(), None, 404, "binding_id"),
        Rule("poll what is made", of(Phase::Pending), "GET", poll("bind"), None, 200, ""),
        Rule("poll what is there", of(Phase::Ready), "GET", poll("bind"), None, 200, ""),
        Rule("poll what failed", of(Phase::Failed), "GET", poll("bind"), None, 200, ""),
        Rule("poll a removal", of(Phase::Deleting), "GET", poll("unbind"), None, 200, ""),
        Rule("poll what is removed", ready(), "GET", poll("unbind"), None, 410, ""),
        Rule("poll what should be there", ready(), "GET", poll("bind"), None, 404, "binding_id"),
        Rule("removal", of(Phase::Ready), "DELETE", gone(), None, 202, "unbind"),
        Rule("removal of what is made", of(Phase::Pending), "DELETE", gone(), None, 202, "unbind"),
        Rule("removal again", of(Phase::Deleting), "DELETE", gone(), None, 202, "unbind"),
        Rule("removal of what is gone", ready(), "DELETE", gone(), None, 410, ""),
        Rule("removal with the instance gone", World::default(), "DELETE", gone(), None, 410, ""),
        Rule("removal without async", of(Phase::Ready), "DELETE", gone().replace("accepts_incomplete=true&", ""), None, 422, "AsyncRequired"),
        Rule("removal by another plan", of(Phase::Ready), "DELETE", removal(choice(Engine::Postgresql, Size::Large), &suffix), None, 400, "plan_id"),
    ];
    check("binding", rules).await;
}

#[tokio::test]
async fn versions_of_the_api() {
    for (version, code) in [
        (None, 412),
        (Some("2.12"), 412),
        (Some("3.0"), 412),
        (Some("2"), 412),
        (Some("two"), 412),
        (Some("2.13"), 200),
        (Some("2.17"), 200),
        (Some("2.99"), 200),
    ] {
        let mut request = Request::get("/v2/catalog");
        if let Some(version) = version {
            request = request.header("X-Broker-API-Version", version);
        }
        let (status, body, _) = ask(&World::default(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, code, "{version:?}: {body}");
    }
}

#[tokio::test]
async fn what_is_around_the_routes_speaks_their_language() {
    let mut guarded = broker(cluster(&World::default()).0);
    let keys = crate::auth::api_keys::ApiKeys::parse(b"a-key-that-is-long").unwrap();
    guarded.access.authenticator.keys = Some(crate::reload::Live::fixed(keys));
    let guarded = app(Arc::new(guarded));
    for (method, path, code, word) in [
        ("GET", "catalog", 401, "Unauthorized"),
        ("POST", "catalog", 405, "MethodNotAllowed"),
        ("GET", "nothing", 404, "NotFound"),
    ] {
        let mut request = request(method, path, None);
        request
            .headers_mut()
            .insert("x-broker-api-request-identity", "me-1".parse().unwrap());
        let response = guarded.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), code);
        assert_eq!(response.headers()["x-broker-api-request-identity"], "me-1");
        assert!(response.headers().contains_key("x-request-id"));
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], word);
        assert!(body["description"].is_string(), "{body}");
    }
}

/// An operator's resource with that UID is not this API's to touch.
#[tokio::test]
async fn instances_of_other_clients_are_not_seen() {
    let mut world = ready();
    world.instance.as_mut().unwrap().spec.resource_name = "orders".to_owned();
    let spec = &mut world.instance.as_mut().unwrap().spec;
    spec.deployment_id = record::id("eu", "shop", spec);
    let (status, ..) = ask(&world, request("DELETE", &removal(small(), ""), None)).await;
    assert_eq!(status, 410);
}

#[tokio::test]
async fn a_login_is_not_kept_on_the_way() {
    let (client, _) = cluster(&bound(ready(), Phase::Ready));
    let path = at(&format!("/service_bindings/{BINDING}"));
    let response = app(Arc::new(broker(client)))
        .oneshot(request("GET", &path, None))
        .await
        .unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
}

proptest! {
    #[test]
    fn a_repeat_is_the_same_instance(id in "[a-zA-Z0-9-]{1,63}", team in "[a-z]{1,9}") {
        let registry = Registry::standard();
        let desk = Desk { broker: "eu", registry: &registry, features: ClusterFeatures::default() };
        let body = || serde_json::from_value(provision(small(), &json!({"parameters": {"team": team}}))).unwrap();
        let (first, second) = (desk.provision(&id, body()).unwrap(), desk.provision(&id, body()).unwrap());
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(&first.1.resource_name, &resource_name(&id));
        prop_assert_ne!(resource_name(&id), resource_name(&format!("{id}x")));
        let record = record::new(&first.0, first.1);
        prop_assert!(record::belongs_to("eu", &record) && !record::belongs_to("us", &record));
    }
}

//! Rules of the design, each broken once on purpose: a harness that finds nothing has to show that it would.
//!
//! Most are planted in what goes over the wire, where a broken controller would show: a request is changed on its way, or
//! answered without being carried out. What shows only inside is a switch in the code, [`kidp_core::mutation`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kidp_callback::{Callback, CallbackPhase, SigningKey, sign};
use kidp_core::deployment::DeploymentId;
use kidp_core::instance::ResourceType;
use kidp_core::problem::{Problem, Reason};
use serde_json::{Value, json};

use crate::api::controllers::password;
use crate::api::{Answer, Change, Request, is_deleting, text};
use crate::fault::Fault;
use crate::judge::Rule;
use crate::process::{CALLBACK_URL, key};
use crate::sim::{OPERATOR, Sim, State};
use crate::wire::{Message, deliver};

/// A rule of the design, broken on purpose.
pub struct Planted {
    /// What is broken.
    pub name: &'static str,
    /// The scenario in which it shows.
    pub scenario: &'static str,
    /// Faults by which it shows; none where it shows without one.
    pub by: &'static [Fault],
    /// What those strike at: a part of what a request or change is about.
    pub at: &'static str,
    /// Its switch, where it is one in the code.
    pub switch: Option<&'static str>,
    /// At a request to an API server, by whom and to which cluster: changes it, or answers in place of the server.
    pub at_api: fn(&mut State, &'static str, &'static str, &mut Request) -> Option<Answer>,
    /// At a message that arrives.
    pub at_http: fn(&mut State, &mut Message) -> Option<Answer>,
    /// At an answer to a message.
    pub at_answer: fn(&mut State, &Message, u16) -> Option<Answer>,
    /// At a change that the operator is told of: what it is told.
    pub at_event: fn(&mut State, &Change) -> Option<Value>,
    /// Whether a failed reconcile is not repeated.
    pub swallows_errors: bool,
}

const NONE: Planted = Planted {
    name: "",
    scenario: "create",
    by: &[],
    at: "",
    switch: None,
    at_api: |_, _, _, _| None,
    at_http: |_, _| None,
    at_answer: |_, _, _| None,
    at_event: |_, change| change.new.clone(),
    swallows_errors: false,
};

const LATE: &[Fault] = &[Fault::Late];

/// Every one.
pub static ALL: &[Planted] = &[
    Planted {
        name: "the finalizer leaves when the removal is accepted",
        scenario: "create, delete",
        at_answer: |_, message, code| (message.path == "/v1/deprovision" && code == 202).then(not_found),
        ..NONE
    },
    Planted {
        name: "a password is made anew while the claim is kept",
        scenario: "retain, adopt",
        at_api: |state, by, cluster, request| {
            let claimed = state
                .cluster(cluster)
                .of("persistentvolumeclaims")
                .next()
                .is_some();
            if by != OPERATOR && claimed && request.method == "PATCH" && request.path.contains("/secrets/") {
                request.body["data"]["password"] = STANDARD.encode("made-anew").into();
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "a corrected spec is applied only when Ready",
        scenario: "repair",
        at_http: |state, message| {
            let body: Value = serde_json::from_slice(&message.body).ok()?;
            let target = state.targets.get(message.host.as_str())?;
            let of = |record: &Value| record["spec"]["resourceUid"] == body["resourceUid"];
            let (_, record) = target.of("serviceinstances").find(|(_, s)| of(&s.value))?;
            let id = &record.value["spec"]["deploymentId"];
            (message.path == "/v1/provision" && record.value["status"]["phase"] != "Ready").then(|| {
                (
                    202,
                    json!({"status": "accepted", "deploymentId": id, "message": ""}),
                )
            })
        },
        ..NONE
    },
    Planted {
        name: "an old deletionTimestamp is taken for the new object's",
        scenario: "delete, create again",
        at_event: |state, change| {
            let mut new = change.new.clone()?;
            let note = format!("deleted {}", text(&new, "/metadata/name"));
            if is_deleting(&new) {
                state
                    .notes
                    .insert(note, text(&new, "/metadata/deletionTimestamp").to_owned());
            } else if let Some(at) = state.notes.get(&note) {
                new["metadata"]["deletionTimestamp"] = at.clone().into();
            }
            Some(new)
        },
        ..NONE
    },
    Planted {
        name: "deletes name neither UID nor resourceVersion",
        scenario: "delete, create again",
        by: LATE,
        at: "DELETE",
        at_api: |_, _, _, request| {
            if let Some(options) = request
                .body
                .as_object_mut()
                .filter(|_| request.method == "DELETE")
            {
                options.remove("preconditions");
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "the signature is taken over re-serialised JSON",
        switch: Some("reserialised"),
        ..NONE
    },
    Planted {
        name: "the key is taken from a header",
        switch: Some("key-from-header"),
        ..NONE
    },
    Planted {
        name: "Ready is written before the broker has said so",
        at_api: |_, by, _, request| {
            if by == OPERATOR && request.body["status"]["phase"] == "Provisioning" {
                request.body["status"]["phase"] = "Ready".into();
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "the broker is picked anew at each try",
        scenario: "repair",
        switch: Some("pick-anew"),
        ..NONE
    },
    Planted {
        name: "the deployment id is random",
        at_api: |_, _, _, request| {
            if request.method == "POST" && request.path.ends_with("/serviceinstances") {
                let id = format!("deploy-{:032x}", rand::random::<u128>());
                request.body["metadata"]["name"] = id.clone().into();
                request.body["spec"]["deploymentId"] = id.into();
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "202 is answered before the record is durable",
        at_api: |state, _, _, request| {
            let first = request.method == "POST"
                && request.path.ends_with("/serviceinstances")
                && state.notes.insert("accepted".to_owned(), String::new()).is_none();
            first.then(|| (201, request.body.clone()))
        },
        ..NONE
    },
    Planted {
        name: "the record's finalizer leaves when one child is not found",
        scenario: "create, delete",
        at_api: |_, _, _, request| {
            let by_id = request
                .query
                .get("labelSelector")
                .is_some_and(|s| s.contains("deployment-id"));
            let claims = request.path.ends_with("/persistentvolumeclaims");
            (by_id && claims).then(|| {
                (
                    200,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}),
                )
            })
        },
        ..NONE
    },
    Planted {
        name: "a callback is written to the status as it is",
        scenario: "create, resize",
        by: &[Fault::NoAnswer, Fault::AnswerLost, Fault::Error(503), Fault::Late],
        at: "/v1/callback",
        at_answer: |state, message, code| {
            let callback: Value = serde_json::from_slice(&message.body).ok()?;
            let name = text(&callback, "/resourceName");
            let object = state.management.find("databases", name)?.clone();
            if message.path == "/v1/callback"
                && code == 204
                && callback["phase"] == "Ready"
                && !is_deleting(&object)
            {
                let generation = object["metadata"]["generation"].clone();
                let path = format!("/apis/platform.company.com/v1/namespaces/shop/databases/{name}/status");
                let body = json!({"status": {"phase": "Ready", "observedGeneration": generation}});
                state.perform("management", &merge(path, body));
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "an older generation is not fenced off",
        scenario: "create, resize",
        by: LATE,
        at: "/v1/provision",
        at_http: |state, message| {
            let mut body: Value = serde_json::from_slice(&message.body).ok()?;
            let target = state.targets.get(message.host.as_str())?;
            let of = |record: &Value| record["spec"]["resourceUid"] == body["resourceUid"];
            let known = target.of("serviceinstances").find(|(_, s)| of(&s.value));
            let known = known.and_then(|(_, s)| s.value["spec"]["resourceGeneration"].as_i64());
            let asked = body["resourceGeneration"].as_i64().unwrap_or_default();
            if let Some(known) = known.filter(|known| *known > asked) {
                body["resourceGeneration"] = (known + 1).into();
                message.body = body.to_string().into_bytes();
                message.headers.remove("content-length");
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "an error ends the reconciles of an object",
        by: &[Fault::Error(500), Fault::AnswerLost],
        swallows_errors: true,
        ..NONE
    },
    Planted {
        name: "the status is written at each reconcile",
        switch: Some("write-always"),
        ..NONE
    },
    Planted {
        name: "the Secret is deleted under Retain",
        scenario: "create, delete, Retain",
        at_api: |_, _, _, request| delete_instead(request, "/secrets/"),
        ..NONE
    },
    Planted {
        name: "the claim is deleted under Retain",
        scenario: "create, delete, Retain",
        at_api: |_, _, _, request| delete_instead(request, "/persistentvolumeclaims/"),
        ..NONE
    },
    Planted {
        name: "the policy of the deletion is not passed on",
        scenario: "create, delete, Retain",
        at_http: |_, message| {
            let mut body: Value = serde_json::from_slice(&message.body).ok()?;
            if message.path == "/v1/deprovision" {
                body["deletionPolicy"] = "Delete".into();
                message.body = body.to_string().into_bytes();
                message.headers.remove("content-length");
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "adoption gives a Secret another password",
        scenario: "retain, adopt",
        at_api: |_, _, _, request| {
            let labels = &request.body["metadata"]["labels"];
            let adopts = labels
                .get("platform.company.com/retained")
                .is_some_and(Value::is_null);
            if request.path.contains("/secrets/") && adopts {
                request.body["data"] = json!({"password": STANDARD.encode("another")});
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "the finalizer comes after the request to the broker",
        at_api: |state, by, _, request| {
            let puts = request.body["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            let first = by == OPERATOR
                && puts
                && state
                    .notes
                    .insert("finalizer".to_owned(), String::new())
                    .is_none();
            if !first {
                return None;
            }
            let name = request.path.rsplit('/').next()?;
            let mut object = state.management.find("databases", name)?.clone();
            object["metadata"]["finalizers"] = request.body["metadata"]["finalizers"].clone();
            Some((200, object))
        },
        ..NONE
    },
    Planted {
        name: "the operator writes without a resourceVersion",
        scenario: "repair",
        by: &[Fault::EventLate, Fault::WatchLost],
        at: "/databases/",
        at_api: |_, by, _, request| {
            if let Some(meta) = request.body["metadata"]
                .as_object_mut()
                .filter(|_| by == OPERATOR)
            {
                meta.remove("resourceVersion");
            }
            None
        },
        ..NONE
    },
    Planted {
        name: "Ready is said without a look at the pods",
        at_api: |state, by, cluster, request| {
            let looks = request.method == "GET" && by != OPERATOR;
            if !looks || !(request.path.ends_with("/pods") || request.path.contains("/statefulsets/")) {
                return None;
            }
            let (now, wall) = (state.now(), state.wall("server"));
            let (code, mut body) = state.cluster(cluster).answer(request, now, wall);
            if code != 200 {
                return Some((code, body));
            }
            body["status"]["readyReplicas"] = 1.into();
            for pod in body["items"].as_array_mut().into_iter().flatten() {
                pod["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
            }
            Some((code, body))
        },
        ..NONE
    },
    Planted {
        name: "a message holds the password",
        at_api: |state, by, cluster, request| {
            if by != OPERATOR && request.path.ends_with("/status") {
                let secret = state
                    .cluster(cluster)
                    .of("secrets")
                    .find_map(|(_, s)| password(&s.value));
                request.body["status"]["message"] = secret.map(|s| format!("connected with {s}")).into();
            }
            None
        },
        ..NONE
    },
];

fn not_found() -> Answer {
    let problem = Problem::new(Reason::NotFound, "no deployment of this broker has this id");
    (404, serde_json::to_value(problem).unwrap_or_default())
}

fn merge(path: String, body: Value) -> Request {
    Request {
        method: "PATCH".to_owned(),
        path,
        query: std::collections::BTreeMap::new(),
        content_type: "application/merge-patch+json".to_owned(),
        metadata_only: false,
        body,
    }
}

/// Deletes what was to be marked as kept.
fn delete_instead(request: &mut Request, kind: &str) -> Option<Answer> {
    let marks = request.body["metadata"]["labels"]["platform.company.com/retained"] == "true";
    if request.method == "PATCH" && request.path.contains(kind) && marks {
        "DELETE".clone_into(&mut request.method);
        request.body = json!({});
    }
    None
}

/// Sends callbacks that must not be believed: one that was changed on its way, though it says the same, and one that
/// brings its own key.
pub async fn probe(sim: &Sim) {
    let now = sim.state().wall(OPERATOR);
    let id = DeploymentId::derive("eu", "shop", "Database", "orders", "probe");
    let callback = Callback::new(
        id,
        ResourceType::Database,
        "orders",
        "shop",
        CallbackPhase::Ready,
        now,
    );
    let Ok(body) = callback.to_body() else { return };
    let (genuine, forger) = (key("eu"), SigningKey::from_seed(&[99; 32]));
    let spaced = [b"{ ".as_slice(), body.get(1..).unwrap_or_default()].concat();
    for (what, key, body, believed) in [
        ("genuine", &genuine, &body, true),
        ("changed on its way", &genuine, &spaced, false),
        ("signed with the sender's own key", &forger, &body, false),
    ] {
        let signed = if what == "changed on its way" {
            callback.to_body().unwrap_or_default()
        } else {
            body.clone()
        };
        let Ok(mut headers) = sign(key, "eu", &format!("probe-{}", body.len()), now, &signed) else {
            continue;
        };
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        if let Ok(offered) = http::HeaderValue::from_str(&forger.public().to_string()) {
            headers.insert("x-kidp-public-key", offered);
        }
        let message = Message {
            host: OPERATOR.to_owned(),
            method: http::Method::POST,
            path: CALLBACK_URL.rsplit("9090").next().unwrap_or_default().to_owned(),
            headers,
            body: body.clone(),
        };
        let code = deliver(sim, message)
            .await
            .map_or(0, |answer| answer.status().as_u16());
        if believed == (code == 401) {
            let seen = format!("a callback that is {what} was answered with {code}");
            sim.state().judge.break_rule(Rule::NoForgery, seen);
        }
    }
}

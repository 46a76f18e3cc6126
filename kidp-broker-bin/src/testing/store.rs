//! An API server that keeps what it is given: names are taken once, and a resource version that has moved on is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::failure;

/// What can be listed.
const COLLECTIONS: [&str; 3] = ["/serviceinstances", "/networkpolicies", "/statefulsets"];

/// What the API server holds, by path.
#[derive(Clone, Default)]
pub struct ObjectStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Value>,
    version: u64,
}

impl ObjectStore {
    /// A client of it. Each request gives way to others before it is served, so that those of two callers interleave.
    pub fn client(&self) -> Client {
        let store = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let store = store.clone();
            async move {
                tokio::task::yield_now().await;
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let path = parts.uri.path().trim_end_matches("/status");
                let query = parts.uri.query().unwrap_or_default();
                let (status, answer) = store.serve(parts.method.as_str(), path, query, &body);
                let response = Response::builder()
                    .status(status)
                    .header("content-type", "application/json");
                Ok::<_, std::convert::Infallible>(
                    response
                        .body(Body::from(answer.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        Client::new(service, "default")
    }

    /// The objects whose paths contain `part`.
    pub fn holding(&self, part: &str) -> Vec<Value> {
        let inner = self.0.lock().unwrap();
        let found = inner.objects.iter().filter(|(path, _)| path.contains(part));
        found.map(|(_, object)| object.clone()).collect()
    }

    /// Removes the objects whose paths contain `part`, finalizers or not.
    pub fn drop_all(&self, part: &str) {
        let mut inner = self.0.lock().unwrap();
        inner.objects.retain(|path, _| !path.contains(part));
    }

    fn serve(&self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let mut inner = self.0.lock().unwrap();
        inner.version += 1;
        let version = inner.version.to_string();
        let stamped = |mut object: Value| {
            object["metadata"]["resourceVersion"] = version.clone().into();
            object
        };
        let held = inner.objects.get(path).cloned();
        let stale =
            |held: &Value, given: &Value| !given.is_null() && *given != held["metadata"]["resourceVersion"];
        match (method, held) {
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if inner.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists", "");
                }
                let mut made = stamped(body.clone());
                made["metadata"]["uid"] = format!("uid-{version}").into();
                made["metadata"]["generation"] = 1.into();
                inner.objects.insert(path, made.clone());
                (201, made)
            }
            ("GET", Some(held)) => (200, held),
            ("GET", None) if COLLECTIONS.iter().any(|plural| path.ends_with(plural)) => {
                let plural = path.rsplit('/').next().unwrap();
                let items: Vec<_> = inner
                    .objects
                    .iter()
                    .filter(|(path, _)| {
                        let name = path.rsplit('/').next().unwrap();
                        path.contains(&format!("/{plural}/"))
                            && (!query.contains("fieldSelector") || query.contains(name))
                    })
                    .map(|(_, object)| object.clone())
                    .collect();
                let list = json!({"kind": "List", "metadata": {}, "items": items, "apiVersion": "v1"});
                (200, list)
            }
            ("PUT", Some(held)) if stale(&held, &body["metadata"]["resourceVersion"]) => {
                failure(409, "Conflict", "")
            }
            ("PUT", Some(_)) => {
                let written = stamped(body.clone());
                inner.objects.insert(path.to_owned(), written.clone());
                (200, written)
            }
            ("PATCH", Some(held)) if stale(&held, &body["metadata"]["resourceVersion"]) => {
                failure(409, "Conflict", "")
            }
            ("PATCH", Some(mut held)) => {
                merge(&mut held, body);
                let written = stamped(held);
                inner.objects.insert(path.to_owned(), written.clone());
                (200, written)
            }
            ("DELETE", Some(held)) if stale(&held, &body["preconditions"]["resourceVersion"]) => {
                failure(409, "Conflict", "")
            }
            ("DELETE", Some(held))
                if held["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|f| !f.is_empty()) =>
            {
                let mut going = stamped(held);
                going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                inner.objects.insert(path.to_owned(), going.clone());
                (200, going)
            }
            ("DELETE", Some(held)) => {
                inner.objects.remove(path);
                (200, held)
            }
            _ => failure(404, "NotFound", "x"),
        }
    }
}

fn merge(into: &mut Value, from: &Value) {
    let Some(changes) = from.as_object() else {
        *into = from.clone();
        return;
    };
    for (key, value) in changes {
        if value.is_null() {
            into.as_object_mut().map(|fields| fields.remove(key));
        } else {
            merge(&mut into[key], value);
        }
    }
}

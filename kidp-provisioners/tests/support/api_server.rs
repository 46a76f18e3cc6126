//! An API server in memory: enough of one to see what is written, in which order, and what happens when a write
//! fails. What a real one does beyond that is tested in `cluster.rs`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Objects by path, requests so far, and the faults to come.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Value>,
    pub writes: Vec<String>,
    pub reads: usize,
    /// The write of this number (from 0) is refused with this status.
    pub fail_write: Option<(usize, u16)>,
    /// Nothing is answered any more.
    pub hang: bool,
    /// No path with this in it is served, as without the definition of a kind.
    pub not_served: Option<&'static str>,
    /// Paths with this in them may not be read.
    pub forbidden: Option<&'static str>,
    /// The namespace is not there.
    pub no_namespace: bool,
    /// cert-manager is not installed.
    pub no_cert_manager: bool,
    counter: u64,
}

/// A shared handle on the server.
#[derive(Clone, Default)]
pub struct ApiServer(Arc<Mutex<State>>);

impl ApiServer {
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                if server.with(|state| state.hang) {
                    tokio::time::sleep(Duration::from_hours(1)).await;
                }
                let json = serde_json::from_slice(&body).unwrap_or_default();
                let query = parts.uri.query().unwrap_or_default();
                let content_type = parts
                    .headers
                    .get("content-type")
                    .map_or("", |v| v.to_str().unwrap());
                let (code, answer) = server
                    .with(|state| state.answer(&parts.method, parts.uri.path(), query, content_type, json));
                let response = Response::builder()
                    .status(code)
                    .header("content-type", "application/json");
                Ok::<_, Infallible>(
                    response
                        .body(Body::from(answer.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        Client::new(service, "default")
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Writes since the last call, as `METHOD Kind-or-path/name`.
    pub fn take_writes(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.writes))
    }
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        content_type: &str,
        body: Value,
    ) -> (u16, Value) {
        if self.not_served.is_some_and(|part| path.contains(part)) {
            return status(404, "NotFound", "");
        }
        if method == Method::GET {
            self.reads += 1;
            if self.forbidden.is_some_and(|part| path.contains(part)) {
                return status(403, "Forbidden", "");
            }
            if self.no_cert_manager && path.contains("/cert-manager.io/") {
                return status(404, "NotFound", "");
            }
            return match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if Self::is_collection(path) => (200, self.list(path, query)),
                None => status(404, "NotFound", ""),
            };
        }
        if query.contains("dryRun=All") {
            return self.dry_run(method, path, body);
        }
        let number = self.writes.len();
        let short = path.rsplit('/').take(2).collect::<Vec<_>>();
        self.writes.push(format!("{method} {}/{}", short[1], short[0]));
        if self.no_namespace {
            return status(404, "NotFound", "namespaces");
        }
        if let Some((_, code)) = self.fail_write.filter(|(n, _)| *n == number) {
            return status(code, "Injected", "");
        }
        match *method {
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return status(409, "AlreadyExists", "");
                }
                (201, self.store(path, body))
            }
            Method::PATCH => {
                let mut object = self.objects.get(path).cloned().unwrap_or(json!({}));
                if object.as_object().unwrap().is_empty() && !content_type.contains("apply") {
                    return status(404, "NotFound", "");
                }
                merge(&mut object, body);
                (200, self.store(path.to_owned(), object))
            }
            _ => self.delete(path, &body),
        }
    }

    /// What a write would make of an object; nothing is kept, and it is none of the writes.
    fn dry_run(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        if self.no_namespace {
            return status(404, "NotFound", "namespaces");
        }
        let mut object = match *method {
            Method::PATCH => self.objects.get(path).cloned().unwrap_or(json!({})),
            _ => json!({}),
        };
        merge(&mut object, body);
        (200, object)
    }

    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.counter += 1;
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata
            .entry("uid")
            .or_insert_with(|| self.counter.to_string().into());
        metadata.insert("resourceVersion".to_owned(), self.counter.to_string().into());
        self.objects.insert(path, object.clone());
        object
    }

    fn delete(&mut self, path: &str, params: &Value) -> (u16, Value) {
        let Some(object) = self.objects.get(path) else {
            return status(404, "NotFound", "");
        };
        let expected = &params["preconditions"];
        assert!(
            expected["uid"].is_string() && expected["resourceVersion"].is_string(),
            "{params}"
        );
        if expected["uid"] != object["metadata"]["uid"]
            || expected["resourceVersion"] != object["metadata"]["resourceVersion"]
        {
            return status(409, "Conflict", "");
        }
        self.objects.remove(path);
        (
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
        )
    }

    /// `.../namespaces/x/services`, and not `.../services/name`.
    fn is_collection(path: &str) -> bool {
        path.split('/').rev().nth(2) == Some("namespaces")
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let query = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let selector = query
            .split('&')
            .find_map(|p| p.strip_prefix("labelSelector="))
            .unwrap_or_default();
        let matches = |object: &Value| {
            selector
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .all(|(key, value)| object["metadata"]["labels"][key] == value)
        };
        let inside = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, object)| inside(key) && matches(object))
            .map(|(_, object)| object.clone())
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
    }
}

fn status(code: u16, reason: &str, kind: &str) -> (u16, Value) {
    let details = json!({"kind": kind});
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": reason, "details": details}),
    )
}

/// JSON merge patch (RFC 7396); for apply it is close enough, as one manager writes whole objects.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let fields = target.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

//! The audit log: one line for each request that changes something, allowed or refused.
//!
//! The lines have the target `audit`. They hold who asked, how that is known, for what, and what came of it; never a
//! body, a token or a key. Routes add what only they know to the request's [`Entry`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use kidp_core::crd::ServiceInstanceSpec;
use kidp_core::problem::Reason;

use crate::auth::Peer;
use crate::auth::identity::Identity;
use crate::middleware::RequestId;

/// Routes that only read, whatever their method.
const READING: [&str; 1] = ["/v1/resources"];
/// Longest text that is taken over from a request, in characters: no name in Kubernetes is longer.
const MAX_TEXT: usize = 253;

#[derive(Debug, Default)]
struct Fields {
    client: Option<Identity>,
    namespace: String,
    resource_type: String,
    resource_name: String,
    deployment_id: String,
}

/// What is told of one request.
#[derive(Clone, Debug, Default)]
pub struct Entry(Arc<Mutex<Fields>>);

impl Entry {
    fn fields(&self) -> MutexGuard<'_, Fields> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asked.
    pub fn client(&self, client: &Identity) {
        self.fields().client = Some(client.clone());
    }

    /// The namespace that is asked about.
    pub fn namespace(&self, namespace: &str) {
        self.fields().namespace = cut(namespace);
    }

    /// The resource that is asked about.
    pub fn resource(&self, kind: &str, name: &str) {
        let mut fields = self.fields();
        fields.resource_type = cut(kind);
        fields.resource_name = cut(name);
    }

    /// The instance that is asked about.
    pub fn instance(&self, namespace: &str, spec: &ServiceInstanceSpec) {
        self.namespace(namespace);
        self.deployment(spec.deployment_id.as_str());
        let mut fields = self.fields();
        fields.resource_type = cut(spec.resource_type.as_str());
        fields.resource_name = cut(&spec.resource_name);
    }

    /// The deployment that is asked about.
    pub fn deployment(&self, id: &str) {
        self.fields().deployment_id = cut(id);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Whether a request may change something.
fn is_mutating(method: &Method, route: &str) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !READING.contains(&route)
}

/// Gives the request its entry, and writes it once there is an answer.
pub async fn record(mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let extensions = request.extensions();
    let route = extensions
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_default();
    let peer = extensions.get::<Peer>().map(|peer| peer.address.to_string());
    let id = extensions.get::<RequestId>().cloned().unwrap_or_default();
    let entry = Entry::default();
    request.extensions_mut().insert(entry.clone());
    // Dropped without an answer when the client goes away: what was begun is told all the same.
    let mut line = Line {
        entry,
        mutating: is_mutating(&method, &route),
        method,
        route,
        peer: peer.unwrap_or_default(),
        id,
        outcome: None,
    };
    let response = next.run(request).await;
    let reason = response.extensions().get::<Reason>().copied();
    line.outcome = Some((response.status().as_u16(), reason));
    response
}

/// A line that is written when it is dropped.
struct Line {
    entry: Entry,
    mutating: bool,
    method: Method,
    route: String,
    peer: String,
    id: RequestId,
    outcome: Option<(u16, Option<Reason>)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.mutating {
            return;
        }
        let fields = self.entry.fields();
        let client = fields.client.as_ref();
        let (status, reason) = self.outcome.unzip();
        // Texts are recorded as strings, which the log escapes: a name cannot begin a line of its own.
        tracing::info!(
            target: "audit",
            client = client.map_or("", |c| &*c.name),
            auth = client.map_or("", |c| c.method.as_str()),
            verb = "write",
            method = self.method.as_str(),
            route = self.route,
            namespace = fields.namespace,
            resource_type = fields.resource_type,
            resource_name = fields.resource_name,
            deployment_id = fields.deployment_id,
            outcome = match status {
                Some(200..=399) => "allowed",
                Some(400..=499) => "refused",
                Some(_) => "failed",
                None => "abandoned",
            },
            status = status.unwrap_or_default(),
            code = reason.flatten().map_or("", Reason::as_str),
            request_id = self.id.0,
            peer = self.peer,
            "request"
        );
    }
}

#[cfg(test)]
mod tests;

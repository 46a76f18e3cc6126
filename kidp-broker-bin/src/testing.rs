//! What the tests of several modules start from.

mod store;

pub use store::ObjectStore;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response};
use kidp_callback::{SigningKey, UrlPolicy};
use kidp_core::crd::{ServiceInstance, ServiceInstanceSpec};
use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_provisioners::manifests::BuildError;
use kidp_provisioners::observe::Observed;
use kidp_provisioners::{
    ApplyError, Capabilities, ClusterFeatures, Connection, Credentials, Instance, Manifests, Plan, Prepared,
    Provisioner, Readiness, Registry,
};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::auth::{Access, Authenticator};
use crate::bindings::Bindings;
use crate::features::Features;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimits;
use crate::records::Records;
use crate::{Broker, Reachability, record};

/// An engine that refuses version 1 and builds nothing.
struct Fake;

#[async_trait]
impl Provisioner for Fake {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    fn resource_type(&self) -> ResourceType {
        ResourceType::Database
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: vec!["15".to_owned()],
            high_availability: false,
            parameters: Vec::new(),
        }
    }

    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>> {
        match instance.spec.version.as_str() {
            "1" => Err(vec![FieldError::new("spec.version", "unknown")]),
            _ => Ok(()),
        }
    }

    fn credentials(&self, _: &Instance, password: String) -> Credentials {
        Credentials {
            username: "u".to_owned(),
            password,
            database: "d".to_owned(),
        }
    }

    fn build(&self, _: &Instance, _: &Credentials) -> Result<Manifests<Prepared>, BuildError> {
        unreachable!("no test builds")
    }

    async fn plan(&self, _: &Client, _: &Instance) -> Result<Plan, ApplyError> {
        Ok(Plan::default())
    }

    fn readiness(&self, _: &Instance, _: &Observed) -> Readiness {
        Readiness::Ready
    }

    fn connection(&self, instance: &Instance) -> Connection {
        Connection {
            host: format!("{}.{}.svc", instance.name, instance.namespace),
            port: 5432,
            secret: format!("{}-connection", instance.name),
        }
    }
}

/// A registry with one engine.
pub fn registry() -> Registry {
    Registry::default().with(Arc::new(Fake))
}

/// A sound request.
pub fn request_json() -> Value {
    json!({"resourceType": "Database", "resourceName": "orders", "namespace": "shop", "team": "payments",
        "resourceUid": "uid-1", "resourceGeneration": 2,
        "spec": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}})
}

/// The spec of its record.
pub fn spec() -> ServiceInstanceSpec {
    let request = serde_json::from_value(request_json()).unwrap();
    let admitted = crate::admit::admit(
        "eu",
        &registry(),
        ClusterFeatures::default(),
        &UrlPolicy::default(),
        request,
    );
    admitted.unwrap().1
}

/// The record, as the API server returns it.
pub fn record() -> ServiceInstance {
    let mut record = record::new("shop", spec());
    record.metadata.uid = Some("record-uid".to_owned());
    record.metadata.resource_version = Some("7".to_owned());
    record.metadata.generation = Some(1);
    record
}

/// A client of an API server that `answer` plays: method and path with query in, status and body out.
pub fn client(answer: impl Fn(&str, &str) -> (u16, Value) + Clone + Send + Sync + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let target = request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let (status, body) = answer(request.method().as_str(), &target);
        async move {
            let response = Response::builder()
                .status(status)
                .header("content-type", "application/json");
            Ok::<_, std::convert::Infallible>(
                response.body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    Client::new(service, "default")
}

/// A failure as the API server puts it.
pub fn failure(code: u16, reason: &str, kind: &str) -> (u16, Value) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason, "details": {"kind": kind}});
    (code, body)
}

/// A list of records as the API server answers it.
pub fn list(items: &[ServiceInstance]) -> (u16, Value) {
    let body = json!({"kind": "ServiceInstanceList", "apiVersion": "broker.platform.company.com/v1alpha1",
        "metadata": {}, "items": items});
    (200, body)
}

/// A broker in front of `client`.
pub fn broker(client: Client) -> Broker {
    Broker {
        name: "eu".to_owned(),
        records: Records::new(client.clone(), "eu"),
        bindings: Bindings::new(client.clone(), "eu"),
        client,
        registry: registry(),
        features: Features::fixed(ClusterFeatures::default()),
        callback_urls: UrlPolicy::new(&["http://operator:9090/v1/callback"]).unwrap(),
        keys: SigningKey::from_seed(&[1; 32]).into(),
        access: Access {
            authenticator: Authenticator::default(),
            policy: None,
            limits: RateLimits::new(0),
        },
        reachability: Reachability::default(),
        metrics: Metrics::default(),
        in_flight: Semaphore::new(8),
        request_timeout: Duration::from_millis(500),
    }
}

//! Routes of bindings: `…/service_bindings/{binding_id}` and its `last_operation`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::Secret;
use kidp_core::crd::{Phase, ServiceBinding, ServiceInstance};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::admit::check_id;
use super::error::OsbError;
use super::instances::{Refusal, absent, accepted, check_ids, find, gone, polled};
use super::operation;
use super::wire::{BindInstance, BindingView, Endpoint, Hints, Incomplete, Operation, Removal};
use crate::auth::Caller;
use crate::auth::policy::Verb;
use crate::error::from_kube;
use crate::extract::{Body, Path, Query};
use crate::{Broker, bindings, record};

/// Longest id of an application.
const MAX_APP: usize = 253;

pub(super) async fn put(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path((instance_id, binding_id)): Path<(String, String)>,
    Query(query): Query<Incomplete>,
    Body(request): Body<BindInstance>,
) -> Result<Response, Refusal> {
    if !query.accepts_incomplete {
        return Err(OsbError::async_required().into());
    }
    check_id("binding_id", &binding_id)?;
    let app_guid = check_body(&request)?;
    let Some(instance) = find(&broker, &caller, Verb::Write, &instance_id).await? else {
        return Err(OsbError::not_found("instance_id").into());
    };
    check_ids(&broker, &instance, &request.service_id, &request.plan_id)?;
    refuse_unbindable(&broker, &instance)?;
    let wanted = bindings::new(&broker.name, &instance, &binding_id, app_guid);
    if let Some(existing) = broker.bindings.find(&instance, &binding_id).await? {
        return repeated(&broker, &existing, &wanted).await;
    }
    if let Some(why) = operation::busy(&instance) {
        return Err(OsbError::concurrency(why).into());
    }
    if broker.bindings.create(&instance, &wanted).await? {
        tracing::info!(id = %instance.spec.deployment_id, binding = wanted.name_any(), "bind");
        return Ok(accepted(Operation::Bind));
    }
    match broker.bindings.find(&instance, &binding_id).await? {
        Some(existing) => repeated(&broker, &existing, &wanted).await,
        None => Err(OsbError::concurrency("the binding is being removed").into()),
    }
}

/// The application, if the body asks for nothing that is not served.
fn check_body(request: &BindInstance) -> Result<Option<String>, OsbError> {
    if let Some(name) = request.parameters.iter().flatten().map(|(name, _)| name).next() {
        return Err(OsbError::field(
            &format!("parameters.{name}"),
            "a binding takes no parameters",
        ));
    }
    let resource = request.bind_resource.clone().unwrap_or_default();
    let (field, app) = match resource.app_guid {
        Some(app) => ("bind_resource.app_guid", Some(app)),
        None => ("app_guid", request.app_guid.clone()),
    };
    match app {
        Some(app) if !(1..=MAX_APP).contains(&app.len()) => Err(OsbError::field(
            field,
            format!("must be 1 to {MAX_APP} characters"),
        )),
        app => Ok(app),
    }
}

fn refuse_unbindable(broker: &Broker, instance: &ServiceInstance) -> Result<(), OsbError> {
    let spec = &instance.spec;
    let provisioner = broker.registry.get(spec.resource_type, spec.instance.engine);
    if provisioner.is_some_and(|p| p.binder().is_some()) {
        return Ok(());
    }
    let say = format!(
        "is not bindable: logins of one's own to {} are not made; use the instance's connection Secret",
        spec.instance.engine
    );
    Err(OsbError::field("service_id", say))
}

/// The answer to a request for a binding that there is.
async fn repeated(
    broker: &Broker,
    existing: &ServiceBinding,
    wanted: &ServiceBinding,
) -> Result<Response, Refusal> {
    if bindings::is_deleting(existing) {
        return Err(OsbError::concurrency("the binding is being removed").into());
    }
    if existing.spec != wanted.spec {
        let say = "is the id of a binding that was asked for otherwise";
        return Err(OsbError::conflict("binding_id", say).into());
    }
    if operation::phase(existing) == Phase::Ready {
        return Ok(view(broker, existing).await?.into_response());
    }
    Ok(accepted(Operation::Bind))
}

pub(super) async fn delete(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path((instance_id, binding_id)): Path<(String, String)>,
    Query(query): Query<Removal>,
) -> Result<Response, Refusal> {
    check_id("binding_id", &binding_id)?;
    let Some(instance) = find(&broker, &caller, Verb::Write, &instance_id).await? else {
        return Ok(gone());
    };
    let Some(existing) = broker.bindings.find(&instance, &binding_id).await? else {
        return Ok(gone());
    };
    if !query.accepts_incomplete {
        return Err(OsbError::async_required().into());
    }
    check_ids(&broker, &instance, &query.service_id, &query.plan_id)?;
    if !bindings::is_deleting(&existing) {
        let deleted = broker.bindings.delete(&instance, &existing).await;
        deleted.map_err(|e| from_kube("removing a binding", &e))?;
        tracing::info!(id = %instance.spec.deployment_id, binding = existing.name_any(), "unbind");
    }
    Ok(accepted(Operation::Unbind))
}

/// Shows a password, so that reading is not enough for it.
pub(super) async fn get(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path((instance_id, binding_id)): Path<(String, String)>,
    Query(_): Query<Hints>,
) -> Result<Response, Refusal> {
    let found = look(&broker, &caller, Verb::Write, (&instance_id, &binding_id)).await?;
    match found.filter(|binding| operation::phase(binding) == Phase::Ready) {
        Some(binding) => Ok(view(&broker, &binding).await?.into_response()),
        None => Err(OsbError::not_found("binding_id").into()),
    }
}

pub(super) async fn last_operation(
    State(broker): State<Arc<Broker>>,
    caller: Caller,
    Path((instance_id, binding_id)): Path<(String, String)>,
    Query(hints): Query<Hints>,
) -> Result<Response, Refusal> {
    match look(&broker, &caller, Verb::Read, (&instance_id, &binding_id)).await? {
        Some(binding) => Ok(polled(&operation::of_binding(&binding))),
        None => absent(operation::named(hints.operation.as_deref()), "binding_id"),
    }
}

async fn look(
    broker: &Broker,
    caller: &Caller,
    verb: Verb,
    (instance_id, binding_id): (&str, &str),
) -> Result<Option<ServiceBinding>, Refusal> {
    check_id("binding_id", binding_id)?;
    match find(broker, caller, verb, instance_id).await? {
        Some(instance) => Ok(broker.bindings.find(&instance, binding_id).await?),
        None => Ok(None),
    }
}

/// The login of a binding that is ready, from its Secret.
async fn view(broker: &Broker, binding: &ServiceBinding) -> Result<impl IntoResponse + use<>, Refusal> {
    let namespace = binding.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(broker.client.clone(), &namespace);
    let secret = api.get_opt(&binding.name_any()).await;
    let secret = secret.map_err(|e| from_kube("reading a binding's Secret", &e))?;
    let Some(secret) = secret.filter(|secret| record::is_owner(binding, secret)) else {
        return Err(OsbError::concurrency("the binding's Secret is being made anew").into());
    };
    let no_store = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, no_store, Json(credentials(secret))))
}

/// Every entry as text, but for the port, which is a number.
fn credentials(secret: Secret) -> BindingView {
    let text = |(key, value): (String, k8s_openapi::ByteString)| {
        let value = String::from_utf8(value.0).ok()?;
        let number = value.parse::<u16>().ok().filter(|_| key == "port");
        Some((key, number.map_or_else(|| Value::from(value), Value::from)))
    };
    let credentials: BTreeMap<_, _> = secret
        .data
        .unwrap_or_default()
        .into_iter()
        .filter_map(text)
        .collect();
    let host = credentials
        .get("host")
        .and_then(Value::as_str)
        .map(ToOwned::to_owned);
    let endpoint = host.zip(credentials.get("port")).map(|(host, port)| Endpoint {
        host,
        ports: vec![port.to_string()],
        protocol: "tcp".to_owned(),
    });
    BindingView {
        endpoints: endpoint.into_iter().collect(),
        credentials,
    }
}

//! The OpenAPI document of every route, served at `/openapi.json` and kept in `docs/openapi.json`.
//!
//! Paths are utoipa's types, filled from the table in `routes.rs`. Schemas of bodies come from the types that are really
//! read and written, through schemars, as those of the CRDs do: OpenAPI 3.1 takes JSON Schema as it is, so that no type
//! has to be described twice.

mod routes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use kidp_core::problem::Problem;
use kidp_core::wire;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{
    OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
    SecurityRequirement,
};

use crate::osb;
use routes::{Input, Place, Route};

const SCHEMAS: &str = "/components/schemas";
const API_KEY: &str = "apiKey";
const BEARER: &str = "bearer";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// `GET /openapi.json`.
pub(crate) async fn get() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// The whole document.
pub fn document() -> Value {
    let typed = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("KIDP broker")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Provisions databases, caches and message queues in its cluster: its own API below `/v1`, and the \
                     Open Service Broker API 2.17 below `/v2`.",
                ))
                .build(),
        )
        .paths(paths())
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
                .security_scheme(
                    BEARER,
                    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
                )
                .build(),
        ))
        .build();
    // Both are made of texts and maps alone, which are always JSON.
    let mut document = serde_json::to_value(typed).unwrap_or_default();
    document["components"]["schemas"] = Value::Object(schemas());
    document
}

/// Schemas of every body, by name.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let add = [
        include::<Problem>,
        include::<wire::BrokerRoot>,
        include::<wire::Health>,
        include::<wire::ProvisionRequest>,
        include::<wire::DeprovisionRequest>,
        include::<wire::Accepted>,
        include::<wire::PlanView>,
        include::<wire::DeploymentStatus>,
        include::<wire::ResourceQuery>,
        include::<wire::ResourceList>,
        include::<osb::error::ErrorBody>,
        include::<osb::wire::Catalog>,
        include::<osb::wire::ProvisionInstance>,
        include::<osb::wire::UpdateInstance>,
        include::<osb::wire::BindInstance>,
        include::<osb::wire::Outcome>,
        include::<osb::wire::LastOperation>,
        include::<osb::wire::InstanceView>,
        include::<osb::wire::BindingView>,
    ];
    for add in add {
        add(&mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert(
        "Document".to_owned(),
        json!({"type": "object", "description": "This document."}),
    );
    schemas
}

fn include<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

fn paths() -> utoipa::openapi::Paths {
    let mut items: BTreeMap<&str, PathItem> = BTreeMap::new();
    for route in routes::all() {
        let item = PathItem::new(route.method.clone(), operation(&route));
        match items.get_mut(route.path) {
            Some(known) => known.merge_operations(item),
            None => {
                items.insert(route.path, item);
            }
        }
    }
    items
        .into_iter()
        .fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item))
        .build()
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.id))
        .summary(Some(route.summary))
        .tag(route.tag)
        .request_body(route.body.map(|name| {
            RequestBodyBuilder::new()
                .content("application/json", content(name))
                .required(Some(Required::True))
                .build()
        }));
    for input in &route.inputs {
        operation = operation.parameter(parameter(input));
    }
    for answer in &route.answers {
        let response = ResponseBuilder::new()
            .description(answer.description)
            .content("application/json", content(answer.body));
        operation = operation.response(answer.status.to_string(), response);
    }
    if route.guarded {
        // None where the broker has no keys.
        for requirement in [
            SecurityRequirement::default(),
            SecurityRequirement::new(API_KEY, Vec::<String>::new()),
            SecurityRequirement::new(BEARER, Vec::<String>::new()),
        ] {
            operation = operation.security(requirement);
        }
    }
    operation
}

fn content(name: &str) -> utoipa::openapi::Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(name)))
        .build()
}

fn parameter(input: &Input) -> Parameter {
    let required = if input.required {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(input.name)
        .parameter_in(match input.place {
            Place::Path => ParameterIn::Path,
            Place::Query => ParameterIn::Query,
            Place::Header => ParameterIn::Header,
        })
        .required(required)
        .description(Some(input.description))
        .schema(Some(text(input)))
        .build()
}

fn text(input: &Input) -> RefOr<Schema> {
    let mut object: ObjectBuilder = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(input.pattern);
    if !input.words.is_empty() {
        object = object.enum_values(Some(input.words.iter().copied()));
    }
    let object: Object = object.build();
    RefOr::T(Schema::Object(object))
}

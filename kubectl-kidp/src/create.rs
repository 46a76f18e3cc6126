//! `create`: an object from flags. It is checked before it is sent, as `validate` would.

use kidp_core::instance::{DeletionPolicy, OwnerKind};
use kidp_core::problem::{FieldError, summarise};
use kidp_core::size::Size;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Resource as _};
use serde_json::{Map, Value, json};

use crate::cli::{CreateArgs, DryRun, Global, NewArgs};
use crate::documents::Document;
use crate::error::{Error, Result, Verdict};
use crate::output::{self, Format};
use crate::session::Session;
use crate::status::cause::words;
use crate::validate::{Checked, Checker, features};
use crate::wait;

/// Makes the object, or shows it.
pub async fn run(global: &Global, args: &CreateArgs) -> Result<Verdict> {
    let mut object = object(&args.new)?;
    if let Some(namespace) = &global.namespace {
        object["metadata"]["namespace"] = namespace.as_str().into();
    }
    check(global, &object)?;
    if args.dry_run == DryRun::Client {
        output::print(&match global.output {
            Some(Format::Json) => output::json(&object)?,
            _ => output::yaml(&object)?,
        })?;
        return Ok(Verdict::Good);
    }
    let session = Session::open(global).await?;
    send(&session, &object, args.dry_run == DryRun::Server).await?;
    let suffix = if args.dry_run == DryRun::Server {
        " (server dry run)"
    } else {
        ""
    };
    output::print(&format!("{} created{suffix}\n", args.new.resource))?;
    if args.wait && args.dry_run == DryRun::None {
        return wait::until_ready(global, &session, &args.new.resource, args.timeout).await;
    }
    Ok(Verdict::Good)
}

/// What is asked for; what has a default and was not said is left out.
pub fn object(args: &NewArgs) -> Result<Value> {
    let kind = args.resource.kind;
    let mut spec = Map::new();
    let mut put = |name: &str, value: Value| spec.insert(name.to_owned(), value);
    let (owner_kind, owner) = match (&args.team, &args.application) {
        (Some(team), None) => (OwnerKind::Team, team),
        (None, Some(application)) => (OwnerKind::Application, application),
        _ => return Err(Error::Usage("give --team or --application".to_owned())),
    };
    let mut of = json!({"kind": owner_kind, "name": owner});
    if let Some(namespace) = &args.owner_namespace {
        of["namespace"] = namespace.as_str().into();
    }
    put("owner", of);
    put("engine", args.engine.as_str().into());
    put("version", args.engine_version.as_str().into());
    put("size", args.size.as_str().into());
    let mut storage = json!({"size": args.storage});
    if let Some(class) = &args.storage_class {
        storage["class"] = class.as_str().into();
    }
    put("storage", storage);
    if args.high_availability {
        put("highAvailability", true.into());
    }
    if args.tls {
        put("encryption", json!({"inTransit": true}));
    }
    if args.deletion_policy != DeletionPolicy::Delete {
        put("deletionPolicy", json!(args.deletion_policy));
    }
    if !args.parameter.is_empty() {
        let pairs = args
            .parameter
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        put("parameters", Value::Object(pairs.collect()));
    }
    if let Some(target) = target(args) {
        put("target", target);
    }
    Ok(json!({"apiVersion": api_version(), "kind": kind.as_str(),
        "metadata": {"name": args.resource.name}, "spec": spec}))
}

fn target(args: &NewArgs) -> Option<Value> {
    let fields = [
        ("broker", &args.broker),
        ("region", &args.region),
        ("cloudProvider", &args.cloud_provider),
        ("dataResidency", &args.data_residency),
    ];
    let said = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into())));
    let target: Map<String, Value> = said.collect();
    (!target.is_empty()).then_some(Value::Object(target))
}

fn api_version() -> String {
    kidp_core::crd::Database::api_version(&()).into_owned()
}

/// Refuses what an API server or a broker would refuse, with the fields named.
pub fn check(global: &Global, object: &Value) -> Result<()> {
    let namespace = global.namespace.as_deref().unwrap_or("default");
    let document = Document {
        file: "-".to_owned(),
        number: 1,
        value: object.clone(),
    };
    match Checker::new(features(&[]), namespace).check(&document, None)? {
        Checked::Faults(faults) if !faults.is_empty() => Err(Error::Invalid(faults)),
        _ => Ok(()),
    }
}

/// Sends the object; an answer that refuses it is told with its fields.
pub async fn send(session: &Session, object: &Value, dry_run: bool) -> Result<()> {
    let object: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|e| Error::Output(e.to_string()))?;
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    let resource = resource(kind);
    let namespace = object.metadata.namespace.as_deref().unwrap_or(&session.namespace);
    let api: Api<DynamicObject> = Api::namespaced_with(session.client.clone(), namespace, &resource);
    let params = PostParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let sent = session.ask("creating it", api.create(&params, &object)).await;
    sent.map(drop).map_err(refused)
}

/// Field manager of what is written by hand.
pub const FIELD_MANAGER: &str = "kubectl-kidp";

/// The API resource of a kind of service.
pub fn resource(kind: &str) -> ApiResource {
    let (group, version) = (kidp_core::group::GROUP, kidp_core::group::VERSION);
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// An answer of the API server that says what is wrong is a refusal, and no failure.
pub fn refused(error: Error) -> Error {
    let Error::Kube { doing, source } = error else {
        return error;
    };
    let kube::Error::Api(status) = source.as_ref() else {
        return Error::Kube { doing, source };
    };
    if !matches!(status.code, 400 | 409 | 422) && words::read(&status.message).is_none() {
        return Error::Kube { doing, source };
    }
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    let faults: Vec<_> = causes
        .iter()
        .map(|cause| FieldError::new(&cause.field, &cause.message))
        .collect();
    match words::read(&status.message) {
        Some(cause) => {
            let said = if faults.is_empty() {
                status.message.clone()
            } else {
                summarise(&faults)
            };
            Error::Refused(format!("{said}; {}", cause.advice()))
        }
        None if faults.is_empty() => Error::Refused(status.message.clone()),
        None => Error::Invalid(faults),
    }
}

/// A parameter as `name=value`.
pub fn parameter(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be name=value".to_owned()),
    }
}

/// A size by its name.
pub fn size(text: &str) -> std::result::Result<Size, String> {
    let found = Size::ALL.into_iter().find(|size| size.as_str() == text);
    found.ok_or_else(|| format!("must be one of {}", Size::ALL.map(Size::as_str).join(", ")))
}

/// A policy by its name.
pub fn deletion_policy(text: &str) -> std::result::Result<DeletionPolicy, String> {
    serde_json::from_value(text.into()).map_err(|_| "must be Delete, Retain or Snapshot".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, message: &str, causes: &Value) -> Error {
        let status = serde_json::from_value(
            json!({"status": "Failure", "code": code, "message": message, "reason": "r",
            "details": {"causes": causes}}),
        )
        .unwrap();
        refused(Error::Kube {
            doing: "creating it".to_owned(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        })
    }

    #[test]
    fn a_refusal_names_fields_or_says_what_to_do() {
        let causes = json!([{"field": "spec.version", "message": "bad", "reason": "FieldValueInvalid"}]);
        assert_eq!(answered(422, "m", &causes).to_string(), "spec.version: bad");
        let webhook = "admission webhook \"v1.kidp\" denied the request: Team `org/red` has no room: used 2, asked 1, limit 2 \
                       (spec.quotas.maxDatabases)";
        let error = answered(403, webhook, &json!([]));
        assert_eq!(error.exit_code(), 1);
        assert!(
            error
                .to_string()
                .contains("spec.quotas.maxDatabases); delete what is not needed"),
            "{error}"
        );
        let causes = json!([{"field": "spec.owner", "message": "Team `org/red` has no room: used 2, asked 1, limit 2", "reason": "r"}]);
        let error = answered(403, webhook, &causes).to_string();
        assert!(
            error.starts_with("spec.owner: Team") && error.contains("; delete what is not needed"),
            "{error}"
        );
        // Not being allowed is no refusal of the object.
        assert_eq!(answered(403, "databases is forbidden", &json!([])).exit_code(), 3);
    }
}

//! The connection Secret: what the service binding specification asks for, and what the SDK reads back.
//!
//! <https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries>

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::Value;

use super::{Notes, PASSWORD};
use crate::conformance::objects::clusters;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::provisioner::Provisioner;
use crate::resources::meta::Scope;
use crate::resources::secret::connection_type;

/// Checks credentials, the Secret, and that the Service that it names is there.
pub(super) fn connection(
    provisioner: &dyn Provisioner,
    instance: &Instance,
    manifests: &Manifests<Prepared>,
    notes: &mut Notes,
) {
    credentials(provisioner, instance, notes);
    let connection = provisioner.connection(instance);
    let secrets: Vec<_> = manifests.objects().iter().filter(|o| o.is_secret()).collect();
    let scope = Scope::new(instance);
    let [secret] = secrets.as_slice() else {
        notes.add(
            instance,
            "",
            "there is not exactly one Secret, which is what `provision` reads back",
        );
        return;
    };
    let key = secret.key();
    let is_found = secret.name() == scope.secret() && secret.name() == connection.secret;
    notes.require(is_found, instance, &key, || {
        "is not the Secret of `Scope::secret` that connection() names".to_owned()
    });
    let engine = provisioner.engine();
    let is_typed = secret.json()["type"] == connection_type(engine.as_str());
    notes.require(is_typed, instance, &key, || {
        format!("its type is not {}", connection_type(engine.as_str()))
    });
    entries(provisioner, instance, &key, &decoded(secret.json()), notes);
    let service = connection.host.split('.').next().unwrap_or_default();
    let port = i64::from(connection.port);
    let leads = manifests.objects().iter().any(|object| {
        let ports = object.json()["spec"]["ports"].as_array();
        object.kind() == "Service"
            && object.name() == service
            && ports.into_iter().flatten().any(|p| p["port"] == port)
    }) || clusters(manifests).any(|cluster| {
        // CloudNativePG makes the Services of a Cluster, which all have PostgreSQL's own port.
        service == format!("{}-rw", cluster.name()) && port == 5432
    });
    notes.require(leads, instance, "", || {
        "no Service has the host and port of connection()".to_owned()
    });
}

/// Names that need quoting nowhere: some official entrypoints splice them into their own language.
fn credentials(provisioner: &dyn Provisioner, instance: &Instance, notes: &mut Notes) {
    let credentials = provisioner.credentials(instance, PASSWORD.to_owned());
    notes.require(credentials.password == PASSWORD, instance, "", || {
        "credentials() changes the password that was made for it".to_owned()
    });
    let is_plain = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        !text.is_empty() && text.chars().all(plain)
    };
    let both = is_plain(&credentials.username) && is_plain(&credentials.database);
    notes.require(both, instance, "", || {
        "username and database are letters, digits and _-./, and neither is empty".to_owned()
    });
}

fn entries(
    provisioner: &dyn Provisioner,
    instance: &Instance,
    key: &str,
    found: &BTreeMap<String, String>,
    notes: &mut Notes,
) {
    let connection = provisioner.connection(instance);
    let credentials = provisioner.credentials(instance, PASSWORD.to_owned());
    let expected = [
        ("type", provisioner.engine().to_string()),
        ("host", connection.host),
        ("port", connection.port.to_string()),
        ("username", credentials.username),
        ("password", credentials.password),
        ("database", credentials.database),
    ];
    for (entry, value) in expected {
        notes.require(found.get(entry) == Some(&value), instance, key, || {
            format!("its entry `{entry}` is missing, or not what connection() and credentials() say")
        });
    }
    let has = |entry: &str, what: &str| found.get(entry).is_some_and(|value| value.contains(what));
    notes.require(has("provider", ""), instance, key, || {
        "its entry `provider` is missing".to_owned()
    });
    notes.require(has("uri", "://") && has("uri", PASSWORD), instance, key, || {
        "its entry `uri` is missing, or does not log in".to_owned()
    });
}

/// The entries of a Secret as text.
fn decoded(secret: &Value) -> BTreeMap<String, String> {
    let data = secret["data"].as_object().into_iter().flatten();
    data.filter_map(|(key, value)| {
        let bytes = serde_json::from_value::<ByteString>(value.clone()).ok()?;
        Some((key.clone(), String::from_utf8(bytes.0).ok()?))
    })
    .collect()
}

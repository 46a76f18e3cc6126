//! The connection Secret, in the form of the service binding specification.
//!
//! <https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries>

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::meta::{Scope, kept_meta};
use crate::instance::Credentials;
use crate::provisioner::Connection;
use crate::tls;

/// Annotation with the engine version that the data was last opened by. It stands here, and not on the pods,
/// since it has to outlive them.
pub const DATA_VERSION: &str = "platform.company.com/data-version";

/// Annotation with the number of members that share the data, where there are several. It stands here for the same
/// reason.
pub const MEMBERS: &str = "platform.company.com/members";

/// Annotation with the StatefulSet whose data the credentials open, where it was taken over. It stands here for the same
/// reason: its claim is not where an instance of this name would look.
pub const ADOPTED: &str = "platform.company.com/adopted-stateful-set";

/// Type of the connection Secret of an engine.
pub fn connection_type(engine: &str) -> String {
    format!("servicebinding.io/{engine}")
}

/// The well-known entries of a connection, and the address that a client library takes whole.
pub fn entries(
    connection: &Connection,
    credentials: &Credentials,
    uri: String,
) -> Vec<(&'static str, String)> {
    vec![
        ("host", connection.host.clone()),
        ("port", connection.port.to_string()),
        ("username", credentials.username.clone()),
        ("password", credentials.password.clone()),
        ("database", credentials.database.clone()),
        ("uri", uri),
    ]
}

/// The connection Secret: `type` and `provider`, the engine's own entries, and with TLS `ca.crt`, which clients verify
/// the server by.
///
/// It has no owner: it shares the fate of the volume claim, whose password it holds. `members` is how many share the
/// data.
pub fn connection(scope: &Scope<'_>, entries: &[(&str, String)], members: i32) -> Secret {
    let engine = scope.instance.spec.engine.as_str();
    let common = [("type", engine.to_owned()), ("provider", "kidp".to_owned())];
    // Not `certificates`, which the specification has for a client's own.
    let served = scope.instance.tls.as_ref().map(|served| &served.ca);
    let ca = served.filter(|_| scope.instance.spec.encryption.in_transit);
    let data: BTreeMap<_, _> = common
        .iter()
        .chain(entries)
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.clone().into_bytes())))
        .chain(ca.map(|ca| (tls::CA.to_owned(), ByteString(ca.clone().into_bytes()))))
        .collect();
    let version = scope.instance.spec.version.clone();
    let mut annotations = BTreeMap::from([(DATA_VERSION.to_owned(), version)]);
    if let Some(adopted) = scope.adopted() {
        annotations.insert(ADOPTED.to_owned(), adopted.stateful_set.clone());
    }
    if members > 1 {
        annotations.insert(MEMBERS.to_owned(), members.to_string());
    }
    Secret {
        metadata: ObjectMeta {
            annotations: Some(annotations),
            ..kept_meta(scope, scope.secret())
        },
        type_: Some(connection_type(engine)),
        data: Some(data),
        ..Secret::default()
    }
}

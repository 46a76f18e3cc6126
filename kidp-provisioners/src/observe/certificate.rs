//! How far the certificate of an instance is.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use super::{Certificate, CertificateState};
use crate::apply::{ApplyError, REQUEST_TIMEOUT, get};
use crate::resources::meta::Scope;
use crate::resources::{certificate, service};
use crate::tls::{self, CA};

type Data = BTreeMap<String, ByteString>;

/// Reads it, where there is TLS.
pub(super) async fn observe(client: &Client, scope: &Scope<'_>) -> Result<Option<Certificate>, ApplyError> {
    if !scope.instance.spec.encryption.in_transit {
        return Ok(None);
    }
    let namespace = scope.instance.namespace.as_str();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let (secret, connection) = (certificate::secret_name(scope), scope.secret());
    let read = |name| {
        let request = secrets.get_opt(name);
        async move { get("Secret", namespace, REQUEST_TIMEOUT, request).await }
    };
    let (served, connection) = tokio::try_join!(read(&secret), read(&connection))?;
    let data = |secret: Option<Secret>| secret.and_then(|secret| secret.data);
    let state = judge(
        data(served).as_ref(),
        data(connection).as_ref(),
        &service::host(scope),
    );
    Ok(Some(Certificate { secret, state }))
}

/// The state, given what both Secrets have.
fn judge(served: Option<&Data>, connection: Option<&Data>, host: &str) -> CertificateState {
    let Some(served) = served else {
        return CertificateState::Missing;
    };
    match tls::material(served, host) {
        Err(fault) => CertificateState::Broken(fault.to_string()),
        Ok(material) => {
            let given = connection.and_then(|connection| connection.get(CA));
            if given.is_some_and(|given| given.0 == material.ca.as_bytes()) {
                CertificateState::Current
            } else {
                CertificateState::Changed
            }
        }
    }
}

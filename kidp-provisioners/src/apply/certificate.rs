//! The certificate of an instance: read from its Secret before anything is built.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject};

use super::request::Cluster;
use super::{ApplyError, Scope, ownership};
use crate::instance::Instance;
use crate::resources::{certificate, service};
use crate::tls::{self, TlsMaterial};

/// The instance with the certificate that there is; without one where it is still to be made.
pub(super) async fn dereference<'a>(
    cluster: &Cluster<'_>,
    instance: &'a Instance,
) -> Result<Cow<'a, Instance>, ApplyError> {
    if !instance.spec.encryption.in_transit {
        return Ok(Cow::Borrowed(instance));
    }
    let scope = Scope::new(instance);
    let tls = read(cluster, &scope).await?;
    Ok(Cow::Owned(Instance {
        tls,
        ..instance.clone()
    }))
}

/// Whether the instance waits for its certificate.
///
/// Until it is there, nothing is applied but what it is made from. A pod without it would not start; and one that is
/// made to start the moment that it comes would be started anew for its hash, in the middle of a first initialisation.
/// An instance that TLS is switched on for goes on without it meanwhile.
pub(super) fn is_awaited(instance: &Instance) -> bool {
    instance.spec.encryption.in_transit && instance.tls.is_none()
}

async fn read(cluster: &Cluster<'_>, scope: &Scope<'_>) -> Result<Option<TlsMaterial>, ApplyError> {
    let name = certificate::secret_name(scope);
    let Some(secret) = get(cluster, scope, &name).await? else {
        if let Some(authority) = certificate::authority_secret_name(scope) {
            get(cluster, scope, &authority).await?;
        }
        return Ok(None);
    };
    let material = tls::material(&data(&secret), &service::host(scope));
    material
        .map(Some)
        .map_err(|fault| ApplyError::BrokenCertificate { secret: name, fault })
}

/// A Secret that is named, or that is the instance's own: cert-manager writes over one of someone else's.
async fn get(
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
    name: &str,
) -> Result<Option<DynamicObject>, ApplyError> {
    let found = cluster.get(&ApiResource::erase::<Secret>(&()), name).await?;
    if let Some(secret) = found.as_ref().filter(|_| !certificate::is_named(scope)) {
        ownership::of(&secret.metadata, scope).require_ours(|| format!("Secret/{name}"))?;
    }
    Ok(found)
}

/// The entries of a Secret; none where they are not what a Secret has.
fn data(secret: &DynamicObject) -> BTreeMap<String, ByteString> {
    let data = secret.data.get("data").cloned().unwrap_or_default();
    serde_json::from_value(data).unwrap_or_default()
}

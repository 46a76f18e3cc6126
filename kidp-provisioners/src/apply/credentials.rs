//! The credentials of an instance: read from its Secret, or made once.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kidp_core::instance::AdoptedSecretRef;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use rand::distr::{Alphanumeric, SampleString};

use super::request::Cluster;
use super::{ApplyError, Scope, ownership};
use crate::instance::Credentials;
use crate::provisioner::Provisioner;
use crate::resources::secret::{ADOPTED, DATA_VERSION, MEMBERS};

/// Letters and digits, 190 bits: some official entrypoints splice a password into their own language.
const PASSWORD_LENGTH: usize = 32;

/// A new password of 32 letters and digits, from the thread's cryptographic generator.
pub fn password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH)
}

/// The Secret of an instance, its own or one left to it by an earlier instance of its name.
pub(super) struct Found {
    pub(super) credentials: Credentials,
    pub(super) secret: DynamicObject,
}

impl Found {
    /// Version of the data that the credentials belong to, where it is on record.
    pub(super) fn data_version(&self) -> Option<&str> {
        self.secret.annotations().get(DATA_VERSION).map(String::as_str)
    }

    /// How many members share the data, where there are several.
    pub(super) fn members(&self) -> i32 {
        let recorded = self.secret.annotations().get(MEMBERS);
        recorded.and_then(|members| members.parse().ok()).unwrap_or(1)
    }
}

/// Looks for the Secret.
pub(super) async fn find(cluster: &Cluster<'_>, scope: &Scope<'_>) -> Result<Option<Found>, ApplyError> {
    let name = scope.secret();
    let Some(secret) = cluster.get(&ApiResource::erase::<Secret>(&()), &name).await? else {
        return Ok(None);
    };
    ownership::of(&secret.metadata, scope).require_usable(|| format!("Secret/{name}"))?;
    check_data(&name, &secret, scope)?;
    let credentials = read(&name, &secret)?;
    Ok(Some(Found { credentials, secret }))
}

/// Credentials for an instance that has no Secret yet: new ones, or those of what was taken over.
pub(super) async fn first<P: Provisioner + ?Sized>(
    provisioner: &P,
    cluster: &Cluster<'_>,
    scope: &Scope<'_>,
) -> Result<Credentials, ApplyError> {
    let password = match scope.adopted() {
        Some(adopted) => password_of(cluster, &adopted.secret_ref).await?,
        None => password(),
    };
    Ok(provisioner.credentials(scope.instance, password))
}

async fn password_of(cluster: &Cluster<'_>, source: &AdoptedSecretRef) -> Result<String, ApplyError> {
    let secret = cluster
        .get(&ApiResource::erase::<Secret>(&()), &source.name)
        .await?;
    let secret = secret.ok_or_else(|| ApplyError::AdoptedSecretMissing {
        secret: source.name.clone(),
    })?;
    entry(&source.name, &secret, &source.keys.password)
}

/// Refuses the credentials of data that is not where the instance would look.
fn check_data(name: &str, secret: &DynamicObject, scope: &Scope<'_>) -> Result<(), ApplyError> {
    let belongs = secret.annotations().get(ADOPTED);
    match belongs.filter(|_| scope.adopted().is_none()) {
        Some(stateful_set) => Err(ApplyError::AdoptedData {
            secret: name.to_owned(),
            stateful_set: stateful_set.clone(),
        }),
        None => Ok(()),
    }
}

fn read(name: &str, secret: &DynamicObject) -> Result<Credentials, ApplyError> {
    Ok(Credentials {
        username: entry(name, secret, "username")?,
        password: entry(name, secret, "password")?,
        database: entry(name, secret, "database")?,
    })
}

fn entry(name: &str, secret: &DynamicObject, key: &str) -> Result<String, ApplyError> {
    let value = secret.data.get("data").and_then(|data| data.get(key)).cloned();
    value
        .and_then(|value| serde_json::from_value::<ByteString>(value).ok())
        .and_then(|bytes| String::from_utf8(bytes.0).ok())
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApplyError::BrokenSecret {
            secret: name.to_owned(),
            key: key.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::password;

    #[test]
    fn passwords_are_letters_and_digits_and_differ() {
        let (a, b) = (password(), password());
        assert_eq!(a.len(), 32);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(a, b);
    }
}

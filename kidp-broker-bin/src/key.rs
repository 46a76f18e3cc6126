//! The broker's signing key: an Ed25519 key in a Secret of its own namespace, made at the first start.
//!
//! Two brokers that start at once agree on one key: the second create is refused by the API server, and the
//! loser reads the winner's. A Secret that holds no key is an error, not a reason to make another: the operator
//! has the old public half, and would stop believing callbacks.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kidp_callback::{KeyError, SigningKey};
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::labels;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use thiserror::Error;

/// Name of the Secret.
pub const SECRET_NAME: &str = "kidp-broker-callback-key";
/// Key in it.
pub const SECRET_KEY: &str = "signing-key";

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum KeyStoreError {
    /// The Secret can be neither read nor made. Check the broker's Role in its own namespace.
    #[error("Secret/{SECRET_NAME} cannot be read or made: {0}")]
    Kube(#[from] kube::Error),
    /// The Secret holds something else. Restore it, or delete it to get a new key.
    #[error("Secret/{SECRET_NAME} holds no usable `{SECRET_KEY}`: {0}")]
    Key(#[from] KeyError),
    /// The Secret has no such key. Restore it, or delete it to get a new key.
    #[error("Secret/{SECRET_NAME} has no `{SECRET_KEY}`")]
    Absent,
}

/// Reads the key, or makes it.
pub async fn load_or_create(client: &Client, namespace: &str) -> Result<SigningKey, KeyStoreError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Some(secret) = api.get_opt(SECRET_NAME).await? {
        return parse(&secret);
    }
    let key = SigningKey::from_seed(&rand::random::<[u8; 32]>());
    let params = PostParams {
        field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&params, &secret(namespace, &key)).await {
        Ok(_) => {
            tracing::info!(public = %key.public(), "made a signing key");
            Ok(key)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => parse(&api.get(SECRET_NAME).await?),
        Err(error) => Err(error.into()),
    }
}

fn secret(namespace: &str, key: &SigningKey) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET_NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels::labels([
                (labels::NAME, "kidp-broker"),
                (labels::MANAGED_BY_KEY, labels::MANAGED_BY),
            ])),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        immutable: Some(true),
        data: Some(BTreeMap::from([(
            SECRET_KEY.to_owned(),
            ByteString(key.to_secret_text().into_bytes()),
        )])),
        ..Secret::default()
    }
}

fn parse(secret: &Secret) -> Result<SigningKey, KeyStoreError> {
    let bytes = secret
        .data
        .as_ref()
        .and_then(|data| data.get(SECRET_KEY))
        .ok_or(KeyStoreError::Absent)?;
    let text = std::str::from_utf8(&bytes.0).map_err(|_| KeyError::Base64)?;
    Ok(SigningKey::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key = SigningKey::from_seed(&[5; 32]);
        assert_eq!(parse(&secret("ns", &key)).unwrap().public(), key.public());
    }

    #[test]
    fn a_secret_without_a_key_is_an_error_and_not_shown() {
        assert!(matches!(parse(&Secret::default()), Err(KeyStoreError::Absent)));
        let mut bad = secret("ns", &SigningKey::from_seed(&[5; 32]));
        let data = bad.data.as_mut().unwrap();
        data.insert(SECRET_KEY.to_owned(), ByteString(b"hunter2".to_vec()));
        let error = parse(&bad).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

//! The broker's signing keys: Ed25519, in a Secret of its own namespace, made at the first start and replaced now and
//! then.
//!
//! # Flow
//! A rotation makes a new key and keeps the one before it. For [`OVERLAP`] every callback is signed with both, so that
//! an operator that has not heard of the new one yet believes it all the same; then the old one goes. Rotations come by
//! age (`--callback-key-max-age-days`) or by `kidp-broker rotate-key`, in whichever process; [`keep`] looks at the Secret
//! every minute and signs with what is there. After a leak, rotate twice: the second rotation drops the leaked key.
//!
//! # Guarantees
//! Two brokers that start at once agree on one key: the second create is refused by the API server, and the loser reads
//! the winner's. A rotation carries the resource version that it was decided on, so that of two at once one happens. A
//! Secret that holds no key is an error, not a reason to make another: the operator has the old public half, and would
//! stop believing callbacks.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kidp_callback::{KeyError, KeyRing, PublicKey, SigningKey};
use kidp_core::group::BROKER_FIELD_MANAGER;
use kidp_core::labels;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::records::post_params;

/// Name of the Secret.
pub const SECRET_NAME: &str = "kidp-broker-callback-key";
/// Key in it.
pub const SECRET_KEY: &str = "signing-key";
/// Key in it with the signing key before.
pub const PREVIOUS_KEY: &str = "previous-signing-key";
/// Annotation with the time of the last rotation.
pub const ROTATED_AT: &str = "broker.platform.company.com/rotated-at";
/// How long callbacks are signed with the key before as well. An operator asks a broker for its key once in a health
/// interval, which is an hour at most.
pub const OVERLAP: Duration = Duration::from_hours(2);
/// How often the Secret is looked at.
const LOOK: Duration = Duration::from_mins(1);

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum KeyStoreError {
    /// The Secret can be neither read nor made. Check the broker's Role in its own namespace.
    #[error("Secret/{SECRET_NAME} cannot be read or written: {0}")]
    Kube(#[from] kube::Error),
    /// The Secret holds something else. Restore it, or delete it to get a new key.
    #[error("Secret/{SECRET_NAME} holds no usable `{SECRET_KEY}`: {0}")]
    Key(#[from] KeyError),
    /// The Secret has no such key. Restore it, or delete it to get a new key.
    #[error("Secret/{SECRET_NAME} has no `{SECRET_KEY}`")]
    Absent,
}

/// The Secret with the signing keys.
#[derive(Clone)]
pub struct KeyStore {
    api: Api<Secret>,
    namespace: String,
}

impl KeyStore {
    /// The Secret in this namespace, the broker's own.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
        }
    }

    /// Reads the keys, or makes one.
    pub async fn load_or_create(&self) -> Result<KeyRing, KeyStoreError> {
        if let Some(secret) = self.api.get_opt(SECRET_NAME).await? {
            let (current, previous) = keys(&secret, Timestamp::now())?;
            return Ok(KeyRing::new(current, previous));
        }
        let key = fresh();
        match self
            .api
            .create(&post_params(), &secret(&self.namespace, &key))
            .await
        {
            Ok(_) => {
                tracing::info!(public = %key.public(), "made a signing key");
                Ok(key.into())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let (current, previous) = keys(&self.api.get(SECRET_NAME).await?, Timestamp::now())?;
                Ok(KeyRing::new(current, previous))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the signing key; the new public half.
    pub async fn rotate(&self) -> Result<PublicKey, KeyStoreError> {
        let held = self.api.get(SECRET_NAME).await?;
        self.rotate_from(&held).await
    }

    async fn rotate_from(&self, held: &Secret) -> Result<PublicKey, KeyStoreError> {
        let (current, key) = (keys(held, Timestamp::now())?.0, fresh());
        let now = Timestamp::now().to_string();
        if held.immutable == Some(true) {
            // Made by a version before rotations: it cannot be changed, only replaced.
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: held.uid(),
                resource_version: held.resource_version(),
            });
            self.api.delete(SECRET_NAME, &params).await?;
            let mut next = secret(&self.namespace, &key);
            next.annotations_mut().insert(ROTATED_AT.to_owned(), now);
            next.data
                .get_or_insert_default()
                .insert(PREVIOUS_KEY.to_owned(), in_secret(&current));
            self.api.create(&post_params(), &next).await?;
        } else {
            let data = json!({SECRET_KEY: in_secret(&key), PREVIOUS_KEY: in_secret(&current)});
            self.patch(held, &json!({ROTATED_AT: now}), &data).await?;
        }
        tracing::info!(public = %key.public(), "the signing key was rotated");
        Ok(key.public())
    }

    async fn patch(
        &self,
        held: &Secret,
        annotations: &serde_json::Value,
        data: &serde_json::Value,
    ) -> Result<(), kube::Error> {
        let version = held.resource_version();
        let patch =
            json!({"metadata": {"resourceVersion": version, "annotations": annotations}, "data": data});
        let params = PatchParams {
            field_manager: Some(BROKER_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.api
            .patch(SECRET_NAME, &params, &Patch::Merge(&patch))
            .await
            .map(|_| ())
    }

    /// One look: rotates what is too old, drops what has had its time, and signs with what is there then.
    async fn look(&self, ring: &KeyRing, max_age: Option<Duration>) -> Result<(), KeyStoreError> {
        let mut held = self.api.get(SECRET_NAME).await?;
        let now = Timestamp::now();
        let age = age(&held, now);
        if max_age.is_some_and(|limit| age >= limit) {
            self.rotate_from(&held).await?;
            held = self.api.get(SECRET_NAME).await?;
        } else if has_previous(&held) && age >= OVERLAP && held.immutable != Some(true) {
            self.patch(&held, &json!({}), &json!({PREVIOUS_KEY: null}))
                .await?;
        }
        let (current, previous) = keys(&held, now)?;
        ring.replace(current, previous);
        Ok(())
    }
}

/// Keeps `ring` at what the Secret holds, and the Secret's key younger than `max_age`, until `stop`.
pub async fn keep(store: KeyStore, ring: KeyRing, max_age: Option<Duration>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match tokio::time::timeout(LOOK, store.look(&ring, max_age)).await {
            Ok(Ok(())) => {}
            // Another process may have rotated in between; the next look finds its key.
            Ok(Err(error)) => tracing::warn!(%error, "the signing key is used as it was"),
            Err(_) => tracing::warn!("no answer about the signing key in time; it is used as it was"),
        }
    }
}

fn fresh() -> SigningKey {
    SigningKey::from_seed(&rand::random::<[u8; 32]>())
}

fn in_secret(key: &SigningKey) -> ByteString {
    ByteString(key.to_secret_text().into_bytes())
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
        data: Some(BTreeMap::from([(SECRET_KEY.to_owned(), in_secret(key))])),
        ..Secret::default()
    }
}

/// How long the current key has been in use.
fn age(secret: &Secret, now: Timestamp) -> Duration {
    let rotated = secret
        .annotations()
        .get(ROTATED_AT)
        .and_then(|at| at.parse().ok());
    let since: Option<Timestamp> = rotated.or_else(|| secret.creation_timestamp().map(|at| at.0));
    let seconds = since.map_or(0, |at| now.as_second().saturating_sub(at.as_second()));
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn has_previous(secret: &Secret) -> bool {
    secret
        .data
        .as_ref()
        .is_some_and(|data| data.contains_key(PREVIOUS_KEY))
}

/// The current key, and the one before it while callbacks are signed with both.
fn keys(secret: &Secret, now: Timestamp) -> Result<(SigningKey, Option<SigningKey>), KeyStoreError> {
    let current = parse(secret, SECRET_KEY)?.ok_or(KeyStoreError::Absent)?;
    let previous = if age(secret, now) < OVERLAP {
        parse(secret, PREVIOUS_KEY)?
    } else {
        None
    };
    Ok((current, previous))
}

fn parse(secret: &Secret, key: &str) -> Result<Option<SigningKey>, KeyStoreError> {
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes.0).map_err(|_| KeyError::Base64)?;
    Ok(Some(SigningKey::parse(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ObjectStore;

    #[test]
    fn what_is_written_is_read() {
        let key = SigningKey::from_seed(&[5; 32]);
        let (current, previous) = keys(&secret("ns", &key), Timestamp::now()).unwrap();
        assert_eq!(current.public(), key.public());
        assert!(previous.is_none());
    }

    #[test]
    fn a_secret_without_a_key_is_an_error_and_not_shown() {
        let now = Timestamp::now();
        assert!(matches!(
            keys(&Secret::default(), now),
            Err(KeyStoreError::Absent)
        ));
        let mut bad = secret("ns", &SigningKey::from_seed(&[5; 32]));
        let data = bad.data.as_mut().unwrap();
        data.insert(SECRET_KEY.to_owned(), ByteString(b"hunter2".to_vec()));
        let error = keys(&bad, now).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    fn public(ring: &KeyRing) -> Vec<String> {
        ring.all().iter().map(|key| key.public().to_string()).collect()
    }

    /// The Secret as it would be after `age`.
    async fn aged(store: &KeyStore, age: Duration) {
        let held = store.api.get(SECRET_NAME).await.unwrap();
        let at = Timestamp::now() - jiff::SignedDuration::try_from(age).unwrap();
        store
            .patch(&held, &json!({ROTATED_AT: at.to_string()}), &json!({}))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_rotation_signs_with_both_keys_and_then_with_the_new_one() {
        let store = KeyStore::new(ObjectStore::default().client(), "kidp");
        let ring = store.load_or_create().await.unwrap();
        let first = public(&ring);
        let second = store.rotate().await.unwrap().to_string();
        store.look(&ring, None).await.unwrap();
        assert_eq!(public(&ring), [second.clone(), first[0].clone()]);
        assert_eq!(
            public(&store.load_or_create().await.unwrap()),
            public(&ring),
            "after a restart"
        );
        aged(&store, OVERLAP).await;
        store.look(&ring, None).await.unwrap();
        assert_eq!(public(&ring), [second]);
        let left = store.api.get(SECRET_NAME).await.unwrap();
        assert!(!has_previous(&left), "the old key is kept nowhere");
    }

    #[tokio::test]
    async fn a_key_is_rotated_by_age_and_twice_drops_the_first() {
        let store = KeyStore::new(ObjectStore::default().client(), "kidp");
        let ring = store.load_or_create().await.unwrap();
        let first = public(&ring)[0].clone();
        let day = Duration::from_hours(24);
        aged(&store, day / 2).await;
        store.look(&ring, Some(day)).await.unwrap();
        assert_eq!(public(&ring), std::slice::from_ref(&first));
        aged(&store, day).await;
        store.look(&ring, Some(day)).await.unwrap();
        assert_eq!(
            (public(&ring).len(), public(&ring)[1].clone()),
            (2, first.clone())
        );
        store.rotate().await.unwrap();
        store.look(&ring, Some(day)).await.unwrap();
        assert!(!public(&ring).contains(&first), "a leaked key is gone after two");
    }

    #[tokio::test]
    async fn an_immutable_secret_of_an_older_version_is_replaced() {
        let objects = ObjectStore::default();
        let store = KeyStore::new(objects.client(), "kidp");
        let old = SigningKey::from_seed(&[5; 32]);
        let mut immutable = secret("kidp", &old);
        immutable.immutable = Some(true);
        store.api.create(&post_params(), &immutable).await.unwrap();
        let new = store.rotate().await.unwrap().to_string();
        let ring = store.load_or_create().await.unwrap();
        assert_eq!(public(&ring), [new, old.public().to_string()]);
        assert!(store.rotate().await.is_ok(), "and can be changed from then on");
    }

    #[tokio::test]
    async fn of_two_rotations_at_once_one_happens() {
        let store = KeyStore::new(ObjectStore::default().client(), "kidp");
        store.load_or_create().await.unwrap();
        let held = store.api.get(SECRET_NAME).await.unwrap();
        let (a, b) = futures::join!(store.rotate_from(&held), store.rotate_from(&held));
        assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    }
}

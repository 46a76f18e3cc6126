//! The keys that a broker signs with: the current one, and for a while after a rotation the one before.
//!
//! A message is signed with every key of the ring, so that a receiver believes it whether it has heard of the rotation
//! or not. The ring is shared: whoever replaces the keys does so for every sender that has it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::keys::{PublicKey, SigningKey};

#[derive(Debug)]
struct Keys {
    current: SigningKey,
    previous: Option<SigningKey>,
}

/// A shared handle of the keys.
#[derive(Clone, Debug)]
pub struct KeyRing(Arc<RwLock<Keys>>);

impl KeyRing {
    /// A ring of the current key and the one before it.
    pub fn new(current: SigningKey, previous: Option<SigningKey>) -> Self {
        Self(Arc::new(RwLock::new(Keys { current, previous })))
    }

    /// The public half of the current key.
    pub fn public(&self) -> PublicKey {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.current.public()
    }

    /// Every key, the current one first.
    pub fn all(&self) -> Vec<SigningKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(keys.current.clone())
            .chain(keys.previous.clone())
            .collect()
    }

    /// Other keys from here on.
    pub fn replace(&self, current: SigningKey, previous: Option<SigningKey>) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Keys { current, previous };
    }
}

impl From<SigningKey> for KeyRing {
    fn from(key: SigningKey) -> Self {
        Self::new(key, None)
    }
}

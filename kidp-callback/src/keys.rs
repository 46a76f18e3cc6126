//! Ed25519 keys in the text form of Standard Webhooks: `whsk_` and base64 for the private half, `whpk_` and
//! base64 for the public one.
//!
//! The private key never appears in `Debug`, and its memory is overwritten when it is dropped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _};
use thiserror::Error;

const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// Why a text is not a key. Never repeats the text.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Another prefix.
    #[error("a key must start with `{0}`")]
    Prefix(&'static str),
    /// Not base64.
    #[error("a key must be base64 after its prefix")]
    Base64,
    /// Not 32 bytes.
    #[error("a key must be 32 bytes")]
    Length,
    /// 32 bytes that are no point of the curve, or one of small order.
    #[error("the bytes are not a usable Ed25519 public key")]
    Point,
}

fn decode(text: &str, prefix: &'static str) -> Result<[u8; 32], KeyError> {
    let encoded = text.trim().strip_prefix(prefix).ok_or(KeyError::Prefix(prefix))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Base64)?;
    bytes.try_into().map_err(|_| KeyError::Length)
}

/// The private half: signs callbacks.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A key from 32 random bytes; the caller supplies the randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads `whsk_` and base64.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        decode(text, PRIVATE_PREFIX).map(|seed| Self::from_seed(&seed))
    }

    /// `whsk_` and base64. For storage in a Secret and for nothing else.
    pub fn to_secret_text(&self) -> String {
        format!("{PRIVATE_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of `message`, in base64.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// The public half: verifies callbacks.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Reads `whpk_` and base64. Keys of small order, under which anything verifies, are refused.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = decode(text, PUBLIC_PREFIX)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Point)?;
        if key.is_weak() {
            return Err(KeyError::Point);
        }
        Ok(Self(key))
    }

    /// Whether `signature` (base64) is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(signature) else {
            return false;
        };
        Signature::from_slice(&bytes).is_ok_and(|s| self.0.verify_strict(message, &s).is_ok())
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: seed, public key and the signature of the empty message, as base64.
    const SEED: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const SIGNATURE: &str =
        "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==";

    #[test]
    fn the_rfc_vector_holds() {
        let key = SigningKey::parse(SEED).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(key.sign(b""), SIGNATURE);
        assert!(PublicKey::parse(PUBLIC).unwrap().verifies(b"", SIGNATURE));
        assert!(!PublicKey::parse(PUBLIC).unwrap().verifies(b"x", SIGNATURE));
    }

    #[test]
    fn text_forms_round_trip_and_debug_hides_the_private_half() {
        let key = SigningKey::from_seed(&[7; 32]);
        let again = SigningKey::parse(&key.to_secret_text()).unwrap();
        assert_eq!(again.public(), key.public());
        let secret = key.to_secret_text();
        let encoded = secret.strip_prefix(PRIVATE_PREFIX).unwrap();
        assert!(!format!("{key:?}").contains(encoded));
    }

    #[test]
    fn bad_texts_are_told_apart() {
        assert_eq!(PublicKey::parse("abc"), Err(KeyError::Prefix(PUBLIC_PREFIX)));
        assert_eq!(PublicKey::parse("whpk_!"), Err(KeyError::Base64));
        assert_eq!(PublicKey::parse("whpk_AAAA"), Err(KeyError::Length));
        let zero = format!("whpk_{}", STANDARD.encode([0_u8; 32]));
        assert_eq!(PublicKey::parse(&zero), Err(KeyError::Point));
        assert_eq!(
            PublicKey::parse(SEED),
            Err(KeyError::Prefix(PUBLIC_PREFIX)),
            "a private key is not taken for a public one"
        );
    }
}

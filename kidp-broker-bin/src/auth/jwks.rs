//! Tokens of another cluster's issuer, such as the management cluster's, verified with its published keys (JWKS).
//!
//! # Guarantees
//! - Issuer, audience, `exp`, `nbf` and a key id are looked at, each; a token without one of them (but `nbf`) is refused.
//! - The algorithm is the key's own: RS256 for an RSA key, ES256 for one on P-256. No other is taken, `none` least of all.
//! - Nothing is fetched: the keys are in a file, which is read again when it changes. The issuer's are at
//!   `kubectl get --raw /openid/v1/jwks`.
//!
//! # Caveats
//! A token is good until its end, even when its service account is gone: ask for short ones. Keep the keys to one
//! issuer.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use kidp_core::problem::Problem;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::unauthorized;
use crate::reload::Live;

const MAX_KEYS: usize = 100;
const MAX_NAME: usize = 500;
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// A key set is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is not what an issuer publishes.
    #[error("is not a JSON Web Key Set: {0}")]
    Json(#[from] serde_json::Error),
    /// It would let nobody in.
    #[error("holds no RSA or P-256 key for signatures with a `kid`")]
    Empty,
    /// More than any issuer has.
    #[error("holds more than {MAX_KEYS} keys")]
    TooMany,
    /// A key is not what it says.
    #[error("key `{kid}`: {source}")]
    Key {
        /// Its id.
        kid: String,
        /// Why.
        source: Error,
    },
}

/// Keys of an issuer, by their ids.
pub struct KeySet(HashMap<String, (Algorithm, DecodingKey)>);

impl KeySet {
    /// Keys from the contents of a file. Keys of other kinds are passed over.
    pub fn parse(contents: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(contents)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let (Some(kid), Some(algorithm)) = (&jwk.common.key_id, algorithm(jwk)) else {
                continue;
            };
            let key = DecodingKey::from_jwk(jwk).map_err(|source| KeySetError::Key {
                kid: kid.clone(),
                source,
            })?;
            keys.insert(kid.clone(), (algorithm, key));
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self(keys))
    }
}

/// The one algorithm that a key is used with.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let (own, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    jwk.common
        .key_algorithm
        .is_none_or(|alg| alg == named)
        .then_some(own)
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

/// Verifies tokens of one issuer for one audience.
pub struct JwtIssuer {
    keys: Live<KeySet>,
    issuer: String,
    audience: String,
}

impl JwtIssuer {
    /// Takes tokens of `issuer` for `audience`.
    pub fn new(keys: Live<KeySet>, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        // Fails only where this same provider is installed already.
        let _ = RING.install_default();
        Self {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
        }
    }

    /// Whether the token says that it is of this issuer and one of its keys. Clusters often have the same issuer name,
    /// so that the name alone does not tell.
    pub fn claims(&self, token: &str) -> bool {
        let kid = decode_header(token).ok().and_then(|header| header.kid);
        kid.is_some_and(|kid| self.keys.current().0.contains_key(&kid))
            && insecure_decode_claims(token).is_ok_and(|Issuer { iss }| iss == self.issuer)
    }

    /// Whose token this is.
    pub fn owner(&self, token: &str) -> Result<Arc<str>, Problem> {
        self.verify(token).map_err(|error| {
            // The error tells the check that failed, and holds nothing of the token.
            tracing::debug!(%error, "a token was refused");
            unauthorized()
        })
    }

    fn verify(&self, token: &str) -> Result<Arc<str>, Error> {
        let kid = decode_header(token)?.kid.unwrap_or_default();
        let keys = self.keys.current();
        let (algorithm, key) = keys.0.get(&kid).ok_or(ErrorKind::InvalidKeyFormat)?;
        let mut validation = Validation::new(*algorithm);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let Subject { sub } = decode(token, key, &validation)?.claims;
        if sub.is_empty() || sub.len() > MAX_NAME || sub.chars().any(char::is_control) {
            return Err(ErrorKind::InvalidSubject.into());
        }
        Ok(sub.into())
    }
}

/// `ring` verifies, as it does for TLS, so that there is one cryptographic library. Nothing is signed here.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(Error::from(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: |algorithm, key| Ok(Box::new(RingVerifier::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

enum RingVerifier {
    Rs256 { n: Vec<u8>, e: Vec<u8> },
    Es256(Vec<u8>),
}

impl RingVerifier {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        match (algorithm, key.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => Ok(Self::Rs256 {
                n: n.clone(),
                e: e.clone(),
            }),
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => Ok(Self::Es256(point.clone())),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match self {
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rs256 { .. } => Algorithm::RS256,
            Self::Es256(_) => Algorithm::ES256,
        }
    }
}

#[cfg(test)]
mod tests;

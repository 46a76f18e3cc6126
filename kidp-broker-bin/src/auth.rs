//! API keys: who may use the API.
//!
//! Only hashes are kept, and they are compared in constant time, so that neither memory nor timing gives a key
//! away. Several keys may be valid at once, for a rotation.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kidp_core::problem::{Problem, Reason};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::Broker;
use crate::error::ApiError;

const MIN_KEY: usize = 16;

/// Hashes of the valid keys; with none, nobody is asked for one.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; 32]>);

/// A key file is not usable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApiKeysError {
    /// It would let nobody in.
    #[error("holds no key")]
    Empty,
    /// A key could be guessed.
    #[error("holds a key of fewer than {MIN_KEY} characters")]
    Short,
}

impl ApiKeys {
    /// Keys from the text of a file, one a line.
    pub fn parse(text: &str) -> Result<Self, ApiKeysError> {
        let keys: Vec<&str> = text.lines().map(str::trim).filter(|k| !k.is_empty()).collect();
        if keys.is_empty() {
            return Err(ApiKeysError::Empty);
        }
        if keys.iter().any(|key| key.len() < MIN_KEY) {
            return Err(ApiKeysError::Short);
        }
        Ok(Self(keys.into_iter().map(|k| Sha256::digest(k).into()).collect()))
    }

    fn admits(&self, key: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(key) = key else { return false };
        let hash: [u8; 32] = Sha256::digest(key).into();
        let matches = self
            .0
            .iter()
            .fold(Choice::from(0), |found, known| found | known.ct_eq(&hash));
        matches.into()
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()))
}

/// Lets a request pass that presents a valid key.
pub async fn require(State(broker): State<Arc<Broker>>, request: Request, next: Next) -> Response {
    if broker.api_keys.admits(presented(request.headers())) {
        return next.run(request).await;
    }
    let say = "send a valid API key as `Authorization: Bearer` or `X-API-Key`";
    ApiError(Problem::new(Reason::Unauthorized, say)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "correct-horse-battery";

    #[test]
    fn any_listed_key_and_no_other() {
        let keys = ApiKeys::parse(&format!("\n{KEY}\nanother-long-key-2\n")).unwrap();
        assert!(keys.admits(Some(KEY)) && keys.admits(Some("another-long-key-2")));
        assert!(!keys.admits(Some("wrong")) && !keys.admits(Some("")) && !keys.admits(None));
        assert!(ApiKeys::default().admits(None));
    }

    #[test]
    fn files_that_protect_nothing_are_refused() {
        assert_eq!(ApiKeys::parse(" \n").err(), Some(ApiKeysError::Empty));
        assert_eq!(ApiKeys::parse("short").err(), Some(ApiKeysError::Short));
    }

    #[test]
    fn both_headers_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "k".parse().unwrap());
        assert_eq!(presented(&headers), Some("k"));
        headers.insert(AUTHORIZATION, "bearer b".parse().unwrap());
        assert_eq!(presented(&headers), Some("b"));
    }
}

//! Signatures of a callback: two, each over the raw bytes that go over the wire.
//!
//! | scheme | headers | signed |
//! |---|---|---|
//! | [Standard Webhooks](https://www.standardwebhooks.com) `v1a` | `webhook-id`, `webhook-timestamp`, `webhook-signature` | `id.timestamp.body` |
//! | KIDP | `X-KIDP-Broker-Name`, `X-KIDP-Timestamp`, `X-KIDP-Signature` | `timestamp.body` |
//!
//! An id holds no dot, so that `id.timestamp.body` can be read in one way only.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use crate::keys::SigningKey;

/// Message id; the same for every attempt at one callback.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// Seconds since 1970 at which the attempt was signed.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// One or more signatures, `v1a,` and base64, separated by spaces.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Name of the broker that sends.
pub const BROKER_NAME: HeaderName = HeaderName::from_static("x-kidp-broker-name");
/// Seconds since 1970, equal to [`WEBHOOK_TIMESTAMP`].
pub const KIDP_TIMESTAMP: HeaderName = HeaderName::from_static("x-kidp-timestamp");
/// One or more signatures in base64, separated by spaces.
pub const KIDP_SIGNATURE: HeaderName = HeaderName::from_static("x-kidp-signature");

pub(crate) const SCHEME: &str = "v1a,";
const MAX_ID: usize = 128;

/// Why a message cannot be signed: a fault of the caller.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignError {
    /// The id could be confused with what follows it.
    #[error("a message id is 1 to {MAX_ID} letters, digits, `-` and `_`")]
    Id,
    /// The broker's name does not fit a header.
    #[error("the broker's name does not fit a header")]
    BrokerName,
}

/// Whether `id` may be a message id.
pub(crate) fn is_message_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

pub(crate) fn webhook_message(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

pub(crate) fn kidp_message(timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{timestamp}.").as_bytes(), body].concat()
}

/// The headers of one attempt at sending `body`, signed with one key.
pub fn sign(
    key: &SigningKey,
    broker_name: &str,
    id: &str,
    now: jiff::Timestamp,
    body: &[u8],
) -> Result<HeaderMap, SignError> {
    sign_with(std::slice::from_ref(key), broker_name, id, now, body)
}

/// The headers of one attempt at sending `body`, signed with each of `keys`, as during a rotation: in both schemes the
/// signatures are separated by spaces.
pub fn sign_with(
    keys: &[SigningKey],
    broker_name: &str,
    id: &str,
    now: jiff::Timestamp,
    body: &[u8],
) -> Result<HeaderMap, SignError> {
    if !is_message_id(id) {
        return Err(SignError::Id);
    }
    let header = |text: &str| HeaderValue::from_str(text).map_err(|_| SignError::BrokerName);
    let timestamp = now.as_second();
    let message = webhook_message(id, timestamp, body);
    let webhook: Vec<_> = keys
        .iter()
        .map(|key| format!("{SCHEME}{}", key.sign(&message)))
        .collect();
    let message = kidp_message(timestamp, body);
    let kidp: Vec<_> = keys.iter().map(|key| key.sign(&message)).collect();
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(WEBHOOK_ID, header(id)?);
    headers.insert(WEBHOOK_TIMESTAMP, timestamp.into());
    headers.insert(WEBHOOK_SIGNATURE, header(&webhook.join(" "))?);
    headers.insert(BROKER_NAME, header(broker_name)?);
    headers.insert(KIDP_TIMESTAMP, timestamp.into());
    headers.insert(KIDP_SIGNATURE, header(&kidp.join(" "))?);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_shift_into_the_timestamp_is_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let sign = |id: &str, name: &str| sign(&key, name, id, jiff::Timestamp::UNIX_EPOCH, b"{}");
        for bad in ["", "a.1", "a b", &"x".repeat(129)] {
            assert_eq!(sign(bad, "eu").unwrap_err(), SignError::Id, "{bad}");
        }
        assert_eq!(sign("a", "e\nu").unwrap_err(), SignError::BrokerName);
        assert_eq!(sign("a", "eu").unwrap().len(), 6);
    }
}

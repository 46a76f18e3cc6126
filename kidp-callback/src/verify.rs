//! Verification of a received callback: a pure function of headers, raw body, trusted keys and the time.
//!
//! # Flow
//! 1. Read the broker's *claimed* name ([`claimed_broker`]) and find that broker's keys, from its `Broker`
//!    object; a key is never taken from a header.
//! 2. [`verify`]: both signatures must hold, under one of the keys, within [`WINDOW`] of now.
//! 3. [`crate::ReplayGuard`]: a repeat is acknowledged, not acted upon.
//! 4. Parse the body, and read the broker again: a callback is a hint.
//!
//! # Caveats
//! The broker's name is not under the signature; it only chooses the keys, so that a forged name fails for
//! want of a signature by that broker's key. Several keys may be trusted at once, for a rotation.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use thiserror::Error;

use crate::keys::PublicKey;
use crate::signing::{
    BROKER_NAME, KIDP_SIGNATURE, KIDP_TIMESTAMP, SCHEME, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
    is_message_id, kidp_message, webhook_message,
};

/// How far a timestamp may be from now, either way.
pub const WINDOW: Duration = Duration::from_mins(5);

/// Most signatures that are tried in one header.
const MAX_SIGNATURES: usize = 4;

/// A broker and the keys it may sign with, from its `Broker` object.
#[derive(Clone, Copy, Debug)]
pub struct TrustedBroker<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its keys: one, or the old and the new during a rotation.
    pub keys: &'a [PublicKey],
}

/// What a verified message said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Message id; the same for every attempt at one callback.
    pub id: String,
    /// When the attempt was signed.
    pub timestamp: jiff::Timestamp,
    /// The broker.
    pub broker: String,
}

/// Why a message is not believed. The answer to all of them is 401, without telling which.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// A header is absent, or given twice.
    #[error("header {0} must be given once")]
    Header(HeaderName),
    /// A header does not have its form.
    #[error("header {0} is malformed")]
    Malformed(HeaderName),
    /// The timestamps differ from each other.
    #[error("the two timestamps differ")]
    Timestamps,
    /// Signed too long ago, or in the future.
    #[error("signed {0} s away from now")]
    OutsideWindow(i64),
    /// The named broker is not the expected one.
    #[error("sent in the name of another broker")]
    Broker,
    /// No trusted key made both signatures.
    #[error("no trusted key made both signatures")]
    Signature,
}

/// The broker that a message claims to come from. To be used for finding its keys, and for nothing else.
pub fn claimed_broker(headers: &HeaderMap) -> Option<&str> {
    only(headers, &BROKER_NAME).ok()
}

/// Whether `body` was sent by `broker` within [`WINDOW`] of `now`.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    broker: TrustedBroker<'_>,
    now: jiff::Timestamp,
) -> Result<Verified, VerifyError> {
    if only(headers, &BROKER_NAME)? != broker.name {
        return Err(VerifyError::Broker);
    }
    let id = only(headers, &WEBHOOK_ID)?;
    if !is_message_id(id) {
        return Err(VerifyError::Malformed(WEBHOOK_ID));
    }
    let timestamp = seconds(headers, &WEBHOOK_TIMESTAMP)?;
    if seconds(headers, &KIDP_TIMESTAMP)? != timestamp {
        return Err(VerifyError::Timestamps);
    }
    let away = now.as_second().saturating_sub(timestamp);
    if away.unsigned_abs() > WINDOW.as_secs() {
        return Err(VerifyError::OutsideWindow(away));
    }
    let webhook = only(headers, &WEBHOOK_SIGNATURE)?;
    let kidp = only(headers, &KIDP_SIGNATURE)?;
    if !broker
        .keys
        .iter()
        .any(|key| both_hold(key, id, timestamp, body, webhook, kidp))
    {
        return Err(VerifyError::Signature);
    }
    Ok(Verified {
        id: id.to_owned(),
        timestamp: jiff::Timestamp::from_second(timestamp)
            .map_err(|_| VerifyError::Malformed(WEBHOOK_TIMESTAMP))?,
        broker: broker.name.to_owned(),
    })
}

fn both_hold(key: &PublicKey, id: &str, timestamp: i64, body: &[u8], webhook: &str, kidp: &str) -> bool {
    let message = webhook_message(id, timestamp, body);
    webhook
        .split(' ')
        .filter_map(|part| part.strip_prefix(SCHEME))
        .take(MAX_SIGNATURES)
        .any(|signature| key.verifies(&message, signature))
        && {
            let message = kidp_message(timestamp, body);
            kidp.split(' ')
                .take(MAX_SIGNATURES)
                .any(|signature| key.verifies(&message, signature))
        }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, VerifyError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| VerifyError::Malformed(name.clone())),
        _ => Err(VerifyError::Header(name.clone())),
    }
}

fn seconds(headers: &HeaderMap, name: &HeaderName) -> Result<i64, VerifyError> {
    let text = only(headers, name)?;
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    text.parse()
        .ok()
        .filter(|_| canonical)
        .ok_or_else(|| VerifyError::Malformed(name.clone()))
}

#[cfg(test)]
mod tests;

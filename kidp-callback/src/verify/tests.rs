//! Every way of changing a signed message, and none is believed.

use proptest::prelude::*;
use reqwest::header::HeaderValue;

use super::*;
use crate::keys::SigningKey;
use crate::signing::{sign, sign_with};

const NOW: i64 = 1_700_000_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn signed(body: &[u8]) -> HeaderMap {
    sign(&key(1), "eu", "m-1", at(NOW), body).unwrap()
}

fn check(headers: &HeaderMap, body: &[u8], seeds: &[u8], now: i64) -> Result<Verified, VerifyError> {
    let keys: Vec<_> = seeds.iter().map(|seed| key(*seed).public()).collect();
    let broker = TrustedBroker {
        name: "eu",
        keys: &keys,
    };
    verify(headers, body, broker, at(now))
}

#[test]
fn an_untouched_message_is_believed() {
    let verified = check(&signed(b"{}"), b"{}", &[1], NOW + 10).unwrap();
    assert_eq!((verified.id.as_str(), verified.broker.as_str()), ("m-1", "eu"));
    assert_eq!(claimed_broker(&signed(b"{}")), Some("eu"));
}

#[test]
fn any_of_several_keys_will_do_and_no_other() {
    assert!(check(&signed(b"{}"), b"{}", &[2, 1], NOW).is_ok());
    assert_eq!(
        check(&signed(b"{}"), b"{}", &[2, 3], NOW),
        Err(VerifyError::Signature)
    );
    assert_eq!(
        check(&signed(b"{}"), b"{}", &[], NOW),
        Err(VerifyError::Signature)
    );
}

#[test]
fn during_a_rotation_either_key_will_do_and_both_schemes_have_to_be_of_one_key() {
    let both = sign_with(&[key(2), key(1)], "eu", "m-1", at(NOW), b"{}").unwrap();
    for trusted in [&[1][..], &[2], &[2, 1]] {
        assert!(check(&both, b"{}", trusted, NOW).is_ok(), "{trusted:?}");
    }
    assert_eq!(check(&both, b"{}", &[3], NOW), Err(VerifyError::Signature));
    assert_eq!(check(&both, b"{ }", &[1, 2], NOW), Err(VerifyError::Signature));
    let (one, other) = (signed(b"{}"), sign(&key(2), "eu", "m-1", at(NOW), b"{}").unwrap());
    let mut mixed = one;
    mixed.insert(&KIDP_SIGNATURE, other[&KIDP_SIGNATURE].clone());
    assert_eq!(check(&mixed, b"{}", &[1, 2], NOW), Err(VerifyError::Signature));
}

#[test]
fn signatures_beyond_a_few_are_not_tried() {
    let mut headers = signed(b"{}");
    let junk = format!("v1a,{} ", "A".repeat(86)).repeat(MAX_SIGNATURES);
    let late = format!("{junk}{}", headers[&WEBHOOK_SIGNATURE].to_str().unwrap());
    headers.insert(&WEBHOOK_SIGNATURE, HeaderValue::from_str(&late).unwrap());
    assert_eq!(check(&headers, b"{}", &[1], NOW), Err(VerifyError::Signature));
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let headers = signed(b"{}");
    for (now, ok) in [(300, true), (301, false), (-300, true), (-301, false)] {
        assert_eq!(check(&headers, b"{}", &[1], NOW + now).is_ok(), ok, "{now}");
    }
}

#[test]
fn a_changed_header_is_found() {
    let other = sign(&key(9), "eu", "m-1", at(NOW), b"{}").unwrap();
    let changes: [(&HeaderName, HeaderValue, VerifyError); 8] = [
        (
            &WEBHOOK_ID,
            HeaderValue::from_static("m-2"),
            VerifyError::Signature,
        ),
        (
            &WEBHOOK_ID,
            HeaderValue::from_static("m.1"),
            VerifyError::Malformed(WEBHOOK_ID),
        ),
        (&WEBHOOK_TIMESTAMP, (NOW + 1).into(), VerifyError::Timestamps),
        (&KIDP_TIMESTAMP, (NOW + 1).into(), VerifyError::Timestamps),
        (
            &WEBHOOK_TIMESTAMP,
            HeaderValue::from_static("01"),
            VerifyError::Malformed(WEBHOOK_TIMESTAMP),
        ),
        (&BROKER_NAME, HeaderValue::from_static("us"), VerifyError::Broker),
        (
            &WEBHOOK_SIGNATURE,
            other[WEBHOOK_SIGNATURE].clone(),
            VerifyError::Signature,
        ),
        (
            &KIDP_SIGNATURE,
            other[KIDP_SIGNATURE].clone(),
            VerifyError::Signature,
        ),
    ];
    for (name, value, error) in changes {
        let mut headers = signed(b"{}");
        headers.insert(name.clone(), value);
        assert_eq!(check(&headers, b"{}", &[1], NOW), Err(error), "{name}");
    }
    let mut both = signed(b"{}");
    both.insert(WEBHOOK_TIMESTAMP, (NOW + 1).into());
    both.insert(KIDP_TIMESTAMP, (NOW + 1).into());
    assert_eq!(check(&both, b"{}", &[1], NOW), Err(VerifyError::Signature));
}

#[test]
fn every_header_is_needed_exactly_once() {
    for name in [
        BROKER_NAME,
        WEBHOOK_ID,
        WEBHOOK_TIMESTAMP,
        WEBHOOK_SIGNATURE,
        KIDP_TIMESTAMP,
        KIDP_SIGNATURE,
    ] {
        let mut without = signed(b"{}");
        let value = without.remove(&name).unwrap();
        assert_eq!(
            check(&without, b"{}", &[1], NOW),
            Err(VerifyError::Header(name.clone()))
        );
        let mut twice = signed(b"{}");
        twice.append(name.clone(), value);
        assert_eq!(check(&twice, b"{}", &[1], NOW), Err(VerifyError::Header(name)));
    }
}

#[test]
fn an_old_and_a_new_signature_may_stand_side_by_side() {
    let mut headers = signed(b"{}");
    let old = sign(&key(9), "eu", "m-1", at(NOW), b"{}").unwrap();
    let pair = [&old[WEBHOOK_SIGNATURE], &headers[WEBHOOK_SIGNATURE]]
        .map(|v| v.to_str().unwrap())
        .join(" ");
    headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_str(&pair).unwrap());
    assert!(check(&headers, b"{}", &[1], NOW).is_ok());
}

proptest! {
    // Each case signs and verifies; unoptimised, that takes a while.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_body_is_found(body in proptest::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let headers = signed(&body);
        prop_assert!(check(&headers, &body, &[1], NOW).is_ok());
        let mut other = body.clone();
        other[at.index(body.len())] ^= flip;
        prop_assert_eq!(check(&headers, &other, &[1], NOW), Err(VerifyError::Signature));
    }

    #[test]
    fn no_header_text_panics(text in "[ -~]{0,80}") {
        for name in [BROKER_NAME, WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, KIDP_TIMESTAMP, KIDP_SIGNATURE] {
            let mut headers = signed(b"{}");
            headers.insert(name, HeaderValue::from_str(&text).unwrap());
            let _ = check(&headers, b"{}", &[1], NOW);
        }
    }
}

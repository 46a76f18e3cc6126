//! Headers and bodies that nobody signed: none is believed, and none makes the verifier fall over. The first line of the
//! input is the id, then the timestamps, the signatures and the broker's name, one a line; the rest is the body.
#![no_main]

use kidp_callback::{PublicKey, SigningKey, TrustedBroker, claimed_broker, sign, verify};
use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const NAMES: [&str; 6] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-kidp-timestamp",
    "x-kidp-signature",
    "x-kidp-broker-name",
];

fuzz_target!(|input: &[u8]| {
    let now = jiff::Timestamp::from_second(1_700_000_000).expect("in range");
    let mut parts = input.splitn(NAMES.len() + 1, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in NAMES {
        let value = parts.next().and_then(|part| HeaderValue::from_bytes(part).ok());
        if let Some(value) = value {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let body = parts.next().unwrap_or_default();
    let key = SigningKey::from_seed(&[7; 32]);
    let keys = [key.public(), SigningKey::from_seed(&[8; 32]).public()];
    let broker = TrustedBroker {
        name: "eu",
        keys: &keys,
    };
    let _ = claimed_broker(&headers);
    let _ = PublicKey::parse(&String::from_utf8_lossy(body));
    assert!(verify(&headers, body, broker, now).is_err(), "nobody signed this");
    // What is signed is believed, and no other body under the same headers.
    if let Ok(signed) = sign(&key, "eu", "msg-1", now, body) {
        assert!(verify(&signed, body, broker, now).is_ok());
        let longer = [body, b" "].concat();
        assert!(verify(&signed, &longer, broker, now).is_err());
    }
});

//! Tokens, good ones and each way to be a bad one. RS256 has a fixed token, whose private key nobody has any more.

use jsonwebtoken::get_current_timestamp;
use kidp_core::problem::Reason;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "kidp-broker";
const OPERATOR: &str = "system:serviceaccount:kidp-system:kidp-operator";
/// Good until the year 2200.
const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjpbImtpZHAtYnJva2VyIl0sInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpraWRwLXN5c3RlbTpraWRwLW9wZXJhdG9yIiwiZXhwIjo3MjU4MTE4NDAwfQ.ZwYF0E_BS496DdDFm_2yMCcDMnCQTPMtSdXXuSAxKXorVacXojd11ubdtv9ZIxzwMp1NDWRl_I1pgcquTv6ys4zyvtKml9_MEPehPhLok0x91Id-VMdLHpw-aVznOefMnznQfy4ZjvqHBff2J0ARt_zrc26rgi1uyzwS8UW3TduE4b7sdgfSKfvNzmyRVy9QlKLoO4Pk8WINqjBtNnuVXaw7pH3knPLNqik4LqXHF5YkNFqoYLi4c-raP2GFpPw-ZSaPcPlEBI47eSeolgWBEEjZlo9JgDPMeTTgUqVqGeLn3mTokhWRxng5PXM6OAJN2EpNj67pAgWJ--EyRfMdtQ";
const RSA_MODULUS: &str = "s5_vckRA8_JGoTBrA-xDNsv_e7bCCPJSx3XPpprmuji2VzzhVb90GgVu8-bfv9148_crxUGEjgMYAE1I4KdB6eddX6LjrSSjLQPT2MdhRMPYZ_1sT9ba12QWso_mHh69ZtJ68DzcBMJptiIeuwrToUjptRADUQ40IAXWTZkn9736KWWifzhVxbhSl8Yz1cHSjvji-Uv5T_RoR536vG8-7ERKJNA7JOgXOtOFbJFyNSWQGRUTg4jKs-0gmb7u2Kl371lYT7hnkO9sErI84tVHSlmJLbUzHPuBzhU4XU6CkUFUUtF3la3X-lrmsgozVKDGcH0GtCbNjg6m5uoF52_J5w";

/// An issuer with a key on P-256.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "use": "sig", "crv": "P-256", "alg": "ES256", "kid": kid,
            "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

/// A way to spoil claims.
type Change<'a> = &'a dyn Fn(&mut Value);

/// Base64 as tokens have it.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn issuer(keys: &[Value]) -> JwtIssuer {
    let set = json!({"keys": keys}).to_string();
    JwtIssuer::new(
        Live::fixed(KeySet::parse(set.as_bytes()).unwrap()),
        ISSUER,
        AUDIENCE,
    )
}

fn rsa() -> Value {
    json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "rsa-1", "n": RSA_MODULUS, "e": "AQAB"})
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let now = get_current_timestamp();
    let mut claims =
        json!({"iss": ISSUER, "aud": [AUDIENCE, "other"], "sub": OPERATOR, "exp": now + 600, "nbf": now});
    change(&mut claims);
    claims
}

#[test]
fn tokens_of_both_kinds_of_key_are_taken() {
    let signer = Signer::new();
    let issuer = issuer(&[rsa(), signer.jwk("ec-1")]);
    let token = signer.token(&json!({"alg": "ES256", "kid": "ec-1"}), &claims(|_| ()));
    for token in [token.as_str(), RS256_TOKEN] {
        assert!(issuer.claims(token));
        assert_eq!(&*issuer.owner(token).unwrap(), OPERATOR);
    }
}

#[test]
fn every_claim_is_looked_at() {
    let signer = Signer::new();
    let issuer = issuer(&[signer.jwk("ec-1")]);
    let now = get_current_timestamp();
    let faults: [(&str, Change<'_>); 10] = [
        ("another audience", &|c| c["aud"] = "kubernetes".into()),
        ("no audience", &|c| c["aud"] = Value::Null),
        ("another issuer", &|c| c["iss"] = "https://other".into()),
        ("no issuer", &|c| c["iss"] = Value::Null),
        ("expired", &|c| c["exp"] = (now - 60).into()),
        ("no end", &|c| c["exp"] = Value::Null),
        ("not yet", &|c| c["nbf"] = (now + 60).into()),
        ("no subject", &|c| c["sub"] = Value::Null),
        ("an empty subject", &|c| c["sub"] = "".into()),
        ("a subject of two lines", &|c| c["sub"] = "a\nb".into()),
    ];
    for (what, change) in faults {
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec-1"}), &claims(change));
        let refusal = issuer.owner(&token).unwrap_err();
        assert_eq!(refusal.error, Reason::Unauthorized, "{what}");
    }
}

#[test]
fn no_other_key_and_no_other_algorithm() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let issuer = issuer(&[rsa(), signer.jwk("ec-1")]);
    let sound = claims(|_| ());
    let by = |signer: &Signer, alg: &str, kid: &str| signer.token(&json!({"alg": alg, "kid": kid}), &sound);
    let none = by(&signer, "none", "ec-1");
    let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
    let swapped = {
        let sound_one = by(&signer, "ES256", "ec-1");
        let other = signer.token(
            &json!({"alg": "ES256", "kid": "ec-1"}),
            &claims(|c| c["sub"] = "admin".into()),
        );
        format!(
            "{}.{}",
            other.rsplit_once('.').unwrap().0,
            sound_one.rsplit_once('.').unwrap().1
        )
    };
    for (what, token) in [
        ("a stranger's", by(&stranger, "ES256", "ec-1")),
        ("an unknown key", by(&signer, "ES256", "ec-2")),
        ("no key", signer.token(&json!({"alg": "ES256"}), &sound)),
        ("another key's algorithm", by(&signer, "RS256", "ec-1")),
        ("a shared secret", by(&signer, "HS256", "ec-1")),
        ("none", none),
        ("unsigned", unsigned),
        ("another's signature", swapped),
        ("nonsense", "a.b.c".to_owned()),
        ("nothing", String::new()),
    ] {
        assert!(issuer.owner(&token).is_err(), "{what}");
    }
}

#[test]
fn whose_token_it_is_is_told_by_issuer_and_key_together() {
    let signer = Signer::new();
    let issuer = issuer(&[signer.jwk("ec-1")]);
    let token = |kid: &str, iss: &str| {
        signer.token(
            &json!({"alg": "ES256", "kid": kid}),
            &claims(|c| c["iss"] = iss.into()),
        )
    };
    assert!(issuer.claims(&token("ec-1", ISSUER)));
    assert!(!issuer.claims(&token("ec-2", ISSUER)) && !issuer.claims(&token("ec-1", "https://own")));
}

#[test]
fn key_sets_that_protect_nothing_are_refused() {
    let parse = |set: Value| KeySet::parse(set.to_string().as_bytes());
    assert!(matches!(KeySet::parse(b"{"), Err(KeySetError::Json(_))));
    let mut encryption = rsa();
    encryption["use"] = "enc".into();
    let mut stronger = rsa();
    stronger["alg"] = "RS512".into();
    let secret = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    for keys in [json!([]), json!([encryption]), json!([stronger]), json!([secret])] {
        assert!(
            matches!(parse(json!({"keys": keys})), Err(KeySetError::Empty)),
            "{keys}"
        );
    }
    let many: Vec<_> = std::iter::repeat_n(rsa(), MAX_KEYS + 1).collect();
    assert!(matches!(parse(json!({"keys": many})), Err(KeySetError::TooMany)));
}

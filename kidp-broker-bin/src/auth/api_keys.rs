//! API keys.
//!
//! Only hashes are kept, and they are compared in constant time, so that neither memory nor timing gives a key
//! away. Several keys may be valid at once, for a rotation; two keys may bear one name.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

const MIN_KEY: usize = 16;
const MAX_KEYS: usize = 1000;
const MAX_NAME: usize = 63;

struct Known {
    hash: [u8; 32],
    name: String,
}

/// Hashes of the valid keys, and whose they are.
pub struct ApiKeys(Vec<Known>);

/// A key file is not usable. Says the line, and nothing of the key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApiKeysError {
    /// It would let nobody in.
    #[error("holds no key")]
    Empty,
    /// A key could be guessed.
    #[error("line {0}: the key has fewer than {MIN_KEY} characters")]
    Short(usize),
    /// More keys than are looked through for each request.
    #[error("holds more than {MAX_KEYS} keys")]
    TooMany,
    /// Keys are text.
    #[error("is not UTF-8 text")]
    NotText,
}

impl ApiKeys {
    /// Keys from the contents of a file, one a line: `name:key`, `name=key`, or the key alone.
    pub fn parse(contents: &[u8]) -> Result<Self, ApiKeysError> {
        let text = std::str::from_utf8(contents).map_err(|_| ApiKeysError::NotText)?;
        let mut keys = Vec::new();
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() {
                continue;
            }
            let (name, key) = split(line);
            if key.len() < MIN_KEY {
                return Err(ApiKeysError::Short(number + 1));
            }
            let hash: [u8; 32] = Sha256::digest(key).into();
            let name = name.map_or_else(|| fingerprint(&hash), str::to_owned);
            keys.push(Known { hash, name });
        }
        match keys.len() {
            0 => Err(ApiKeysError::Empty),
            1..=MAX_KEYS => Ok(Self(keys)),
            _ => Err(ApiKeysError::TooMany),
        }
    }

    /// Whose key this is. Looks at every key, whichever it is.
    pub fn owner(&self, key: &str) -> Option<&str> {
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut found = Choice::from(0);
        let mut place = 0_u32;
        for (index, known) in (0_u32..).zip(&self.0) {
            let same = known.hash.ct_eq(&hash);
            place.conditional_assign(&index, same);
            found |= same;
        }
        let known = self.0.get(usize::try_from(place).ok()?)?;
        bool::from(found).then_some(known.name.as_str())
    }
}

/// Name and key of a line. What Base64 ends with is no separator.
fn split(line: &str) -> (Option<&str>, &str) {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match line.split_once([':', '=']) {
        Some((name, key))
            if (1..=MAX_NAME).contains(&name.len())
                && name.bytes().all(in_name)
                && !key.trim_matches('=').is_empty() =>
        {
            (Some(name), key.trim())
        }
        _ => (None, line),
    }
}

/// What a key without a name is called: enough of its hash to tell it from others, and too little to find it by.
fn fingerprint(hash: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = hash;
    format!("unnamed-{a:02x}{b:02x}{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "correct-horse-battery";

    fn keys(text: &str) -> ApiKeys {
        ApiKeys::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn any_listed_key_and_no_other() {
        let keys = keys(&format!(
            "\n{KEY}\nci:another-long-key-2\nops=a-third-long-key-3==\n"
        ));
        assert_eq!(keys.owner("another-long-key-2"), Some("ci"));
        assert_eq!(keys.owner("a-third-long-key-3=="), Some("ops"));
        let unnamed = keys.owner(KEY).unwrap();
        assert!(
            unnamed.starts_with("unnamed-") && unnamed.len() == 16,
            "{unnamed}"
        );
        for wrong in ["wrong", "", "ci:another-long-key-2", "ci"] {
            assert_eq!(keys.owner(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base64_padding_is_part_of_a_bare_key() {
        assert!(
            keys("c2VjcmV0LXNlY3JldA==")
                .owner("c2VjcmV0LXNlY3JldA==")
                .is_some()
        );
        assert!(
            keys("not a name:key-key-key-key")
                .owner("not a name:key-key-key-key")
                .is_some()
        );
    }

    #[test]
    fn files_that_protect_nothing_are_refused() {
        let error = |text: &[u8]| ApiKeys::parse(text).err().unwrap();
        assert_eq!(error(b" \n"), ApiKeysError::Empty);
        assert_eq!(error(b"short"), ApiKeysError::Short(1));
        assert_eq!(error(b"\nkidp-operator:short\n"), ApiKeysError::Short(2));
        assert_eq!(error(&[0xff]), ApiKeysError::NotText);
        let many = "a-key-that-is-long-enough\n".repeat(MAX_KEYS + 1);
        assert_eq!(error(many.as_bytes()), ApiKeysError::TooMany);
    }
}

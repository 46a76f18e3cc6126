//! Names of Kubernetes objects: validation of what comes in, and derivation of what KIDP creates.
//!
//! Kubernetes limits a label value and a Service name to 63 characters, and puts a StatefulSet's name plus an
//! 11-character revision hash into a label. Derived names are therefore bounded here, once, with a hash in
//! place of what was cut, so that two long names never meet in the same short one.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest name that a derived object may have (DNS label).
pub const MAX_LABEL: usize = 63;

/// Longest base name of an instance: leaves room for the longest suffix, `-connection`, and for the revision
/// hash of a StatefulSet.
pub const MAX_BASE: usize = 40;

const HASH_CHARS: usize = 8;

/// Why a text cannot be the name of a Kubernetes object.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Empty text.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("must be at most {limit} characters, has {length}")]
    TooLong {
        /// The longest that is accepted.
        limit: usize,
        /// What was given.
        length: usize,
    },
    /// Characters outside the DNS alphabet, or a wrong first or last one.
    #[error("must be lower-case letters, digits and `-`, start and end with a letter or digit")]
    Characters,
}

/// Checks an RFC 1123 label, the form of namespaces and Services.
pub fn validate_label(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_LABEL {
        return Err(NameError::TooLong {
            limit: MAX_LABEL,
            length: text.len(),
        });
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = text.chars().all(|c| alphanumeric(c) || c == '-');
    if inner && text.starts_with(alphanumeric) && text.ends_with(alphanumeric) {
        Ok(())
    } else {
        Err(NameError::Characters)
    }
}

/// Checks an RFC 1123 subdomain (labels joined by dots, at most 253), the form of most object names.
pub fn validate_subdomain(text: &str) -> Result<(), NameError> {
    const LIMIT: usize = 253;
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > LIMIT {
        return Err(NameError::TooLong {
            limit: LIMIT,
            length: text.len(),
        });
    }
    text.split('.').try_for_each(|label| match validate_label(label) {
        Err(NameError::Empty) => Err(NameError::Characters),
        // A subdomain's labels are bounded by the whole in Kubernetes.
        Err(NameError::TooLong { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    })
}

/// First characters of the hex SHA-256 over `parts`, each preceded by its length so that moving a character
/// from one part to the next changes the hash.
pub fn short_hash(parts: &[&str], chars: usize) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        hex.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    hex.truncate(chars);
    hex
}

/// The name shared by an instance's objects, such as `orders-postgresql` for the `Database` `orders`.
///
/// At most [`MAX_BASE`] characters and a valid DNS label; where the readable form is not, what does not fit
/// gives way to a hash of the whole.
///
/// ```
/// use kidp_core::names::base_name;
/// assert_eq!(base_name("orders", "postgresql"), "orders-postgresql");
/// assert!(base_name(&"x".repeat(200), "postgresql").len() <= 40);
/// ```
pub fn base_name(resource_name: &str, engine: &str) -> String {
    let plain = format!("{resource_name}-{engine}");
    // A label starts with a letter in a Service name (RFC 1035), which is stricter than an object's name.
    if plain.len() <= MAX_BASE
        && validate_label(&plain).is_ok()
        && plain.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return plain;
    }
    let hash = short_hash(&[resource_name, engine], HASH_CHARS);
    let room = MAX_BASE.saturating_sub(engine.len() + HASH_CHARS + 4);
    let readable: String = resource_name
        .chars()
        .take(room)
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let readable = readable.trim_matches('-');
    format!("i-{readable}-{hash}-{engine}").replace("--", "-")
}

/// `base` and `suffix` joined by a dash; `base` comes from [`base_name`], so the result fits a DNS label.
pub fn with_suffix(base: &str, suffix: &str) -> String {
    format!("{base}-{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dotted_and_numeric_names_become_labels() {
        for name in ["a.b", "1st", "x-", &"y".repeat(253)] {
            let base = base_name(name, "postgresql");
            assert_eq!(validate_label(&base), Ok(()), "{base}");
            assert!(base.starts_with(|c: char| c.is_ascii_lowercase()), "{base}");
        }
    }

    #[test]
    fn names_that_share_a_long_prefix_stay_apart() {
        let prefix = "p".repeat(100);
        assert_ne!(
            base_name(&format!("{prefix}a"), "redis"),
            base_name(&format!("{prefix}b"), "redis")
        );
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(validate_label(""), Err(NameError::Empty));
        assert_eq!(validate_label("Orders"), Err(NameError::Characters));
        assert_eq!(
            validate_label(&"a".repeat(64)),
            Err(NameError::TooLong {
                limit: 63,
                length: 64
            })
        );
        assert_eq!(validate_subdomain("a..b"), Err(NameError::Characters));
        assert_eq!(validate_subdomain("a.b"), Ok(()));
    }

    proptest! {
        #[test]
        fn base_names_are_bounded_labels(name in "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?") {
            let base = base_name(&name, "postgresql");
            prop_assert!(base.len() <= MAX_BASE);
            prop_assert_eq!(validate_label(&base), Ok(()));
            prop_assert!(with_suffix(&base, "connection").len() <= MAX_LABEL);
        }

        #[test]
        fn distinct_names_have_distinct_bases(a in "[a-z][a-z0-9.-]{0,80}", b in "[a-z][a-z0-9.-]{0,80}") {
            prop_assume!(a != b);
            prop_assert_ne!(base_name(&a, "postgresql"), base_name(&b, "postgresql"));
        }
    }
}

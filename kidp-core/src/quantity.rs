//! Kubernetes quantities as bytes, for the two things KIDP decides by them: whether a volume shrinks, and how
//! much memory an engine is given.
//!
//! Grammar: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use thiserror::Error;

/// Why a text is not a storage quantity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QuantityError {
    /// Not digits, an optional fraction and one of the known suffixes.
    #[error("`{0}` is not a quantity: write a number and a unit, such as 10Gi")]
    Malformed(String),
    /// Above what 64 bits hold, or below one byte.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
}

const SUFFIXES: [(&str, u128); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

/// Parses a non-negative quantity of bytes; fractions are rounded up to a whole byte, as Kubernetes does.
///
/// ```
/// use kidp_core::quantity::parse_bytes;
/// assert_eq!(parse_bytes("1.5Gi"), Ok(1_610_612_736));
/// assert!(parse_bytes("ten").is_err());
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor = SUFFIXES
        .iter()
        .find(|(s, _)| *s == suffix)
        .map(|(_, f)| *f)
        .ok_or_else(malformed)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." || number.len() > 30 || fraction.len() > 9 || fraction.contains('.')
    {
        return Err(malformed());
    }
    let out_of_range = || QuantityError::OutOfRange(text.to_owned());
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| malformed())?);
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| malformed())?;
    let bytes = digits
        .checked_mul(factor)
        .ok_or_else(out_of_range)?
        .div_ceil(scale);
    u64::try_from(bytes).map_err(|_| out_of_range())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(parse_bytes("10Gi"), Ok(10 << 30));
        assert_eq!(parse_bytes("1G"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("0.5"), Ok(1));
        assert_eq!(parse_bytes("20Ei"), Err(QuantityError::OutOfRange("20Ei".into())));
        for bad in ["", "Gi", "-1Gi", "1gi", "1.2.3", ".", "1 Gi", "1e3x"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9.eEkKmMgGtTpPi+-]{0,40}") {
            let _ = parse_bytes(&text);
        }

        #[test]
        fn binary_units_are_powers_of_1024(n in 0_u64..1 << 20) {
            prop_assert_eq!(parse_bytes(&format!("{n}Mi")), Ok(n << 20));
            prop_assert_eq!(parse_bytes(&format!("{n}Ki")), Ok(n << 10));
        }
    }
}

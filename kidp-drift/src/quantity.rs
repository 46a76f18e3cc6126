//! Equality of Kubernetes quantities: `1000m` is `1`, `1024Mi` is `1Gi`, `1e3` is `1k`.

use serde_json::Value;

/// Decimal places that a quantity has at most; further ones are rounded up, as Kubernetes does.
const PLACES: usize = 9;
/// Larger exponents are no amount of anything.
const EXPONENT: i32 = 24;

/// Whether both are quantities of the same amount.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    matches!((amount(a), amount(b)), (Some(a), Some(b)) if a == b)
}

/// Whether both are quantities and `a` is the larger.
pub(crate) fn is_more(a: &Value, b: &Value) -> bool {
    matches!((amount(a), amount(b)), (Some(a), Some(b)) if a > b)
}

/// The amount of a quantity, in billionths; none where it is not one, or too large to tell.
pub fn amount(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => billionths(text),
        Value::Number(number) => billionths(&number.to_string()),
        _ => None,
    }
}

fn billionths(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(PLACES).ok()? - i32::try_from(fraction.len()).ok()?;
    let (binary, decimal) = scale(suffix)?;
    let amount = shifted(digits.checked_mul(1 << binary)?, places + decimal)?;
    Some(if negative { -amount } else { amount })
}

/// A suffix as a power of two and a power of ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            (0, (-EXPONENT..=EXPONENT).contains(&power).then_some(power)?)
        }
    })
}

/// `digits` times ten to the `power`, rounded up.
fn shifted(digits: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        digits.checked_mul(factor)
    } else {
        Some(digits / factor + i128::from(digits % factor != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_amount_in_other_words() {
        for (a, b) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1.5Gi", "1536Mi"),
            ("2k", "2000"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("12E-1", "1200m"),
            ("1E", "1e18"),
            ("-1", "-1000m"),
            ("+1", "1"),
            ("1.0000000001", "1000000001n"),
        ] {
            assert!(equal(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(equal(&json!(1), &json!("1")));
        assert!(equal(&json!(0.5), &json!("500m")));
    }

    #[test]
    fn other_amounts_and_no_amounts_differ() {
        for (a, b) in [
            ("1Gi", "1G"),
            ("one", "one"),
            ("1", "-1"),
            ("1..0", "1"),
            ("1e999999999", "1e999999999"),
            (".", "0"),
            ("", "0"),
        ] {
            assert!(!equal(&json!(a), &json!(b)), "{a} {b}");
        }
        let long = "9".repeat(500);
        assert!(!equal(&json!(long), &json!(long)), "too large to tell");
    }
}

//! Equality of Kubernetes quantities: `1000m` is `1`, `1024Mi` is `1Gi`.

use serde_json::Value;

const SUFFIXES: [(&str, i128); 16] = [
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
    // Below one: applied as divisors.
    ("m", -1_000),
    ("u", -1_000_000),
    ("n", -1_000_000_000),
];

/// Whether a field holds a quantity, by where it stands.
pub(crate) fn is_quantity_field(parent: &str, name: &str) -> bool {
    matches!(
        parent,
        "limits" | "requests" | "capacity" | "hard" | "allocatedResources"
    ) || matches!(name, "sizeLimit" | "divisor")
}

/// Whether both are quantities of the same amount.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    matches!((nanos(a), nanos(b)), (Some(a), Some(b)) if a == b)
}

/// A quantity in billionths.
fn nanos(value: &Value) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, factor) = SUFFIXES.iter().find(|(s, _)| *s == suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scaled = format!("{whole}{fraction:0<9}").parse::<i128>().ok()?;
    if *factor > 0 {
        scaled.checked_mul(*factor)
    } else {
        let divisor = -factor;
        (NANO % divisor == 0).then_some(scaled / divisor)
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
            ("1.5Gi", "1536Mi"),
            ("2k", "2000"),
        ] {
            assert!(equal(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(equal(&json!(1), &json!("1")));
        assert!(!equal(&json!("1Gi"), &json!("1G")));
        assert!(!equal(&json!("one"), &json!("one")));
    }
}

//! Types of parameter values.

use std::fmt;

const KIB: u64 = 1024;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number of a range.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A decimal number of a range.
    Real {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// An amount with a unit of `B`, `kB`, `MB`, `GB` or `TB`.
    Memory {
        /// Fewest bytes.
        min: u64,
        /// Most bytes.
        max: u64,
        /// A number without unit that means something of its own, such as `-1`.
        special: Option<&'static str>,
    },
    /// A time with a unit of `us`, `ms`, `s`, `min`, `h` or `d`.
    Duration {
        /// Fewest milliseconds.
        min: u64,
        /// Most milliseconds.
        max: u64,
        /// A number without unit that means something of its own, such as `0`.
        special: Option<&'static str>,
    },
    /// `on` or `off`.
    Bool,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// Some of some words, joined by commas.
    List(&'static [&'static str]),
    /// The name of a time zone.
    TimeZone,
}

impl Kind {
    /// Whether `value` is one.
    pub fn accepts(&self, value: &str) -> bool {
        match *self {
            Self::Integer { min, max } => value.parse::<i64>().is_ok_and(|n| (min..=max).contains(&n)),
            Self::Real { min, max } => {
                let plain = value
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
                plain && value.parse::<f64>().is_ok_and(|n| (min..=max).contains(&n))
            }
            Self::Memory { min, max, special } => {
                special == Some(value) || bytes(value).is_some_and(|n| (min..=max).contains(&n))
            }
            Self::Duration { min, max, special } => {
                special == Some(value) || milliseconds(value).is_some_and(|n| (min..=max).contains(&n))
            }
            Self::Bool => matches!(value, "on" | "off" | "true" | "false"),
            Self::Choice(words) => words.contains(&value),
            Self::List(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Self::TimeZone => is_time_zone(value),
        }
    }
}

/// The form of a name in the IANA database; whether it is there, the server says.
fn is_time_zone(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    (1..=64).contains(&value.len())
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(allowed)
}

/// An amount of memory.
pub(super) fn bytes(value: &str) -> Option<u64> {
    with_unit(
        value,
        &[
            ("B", 1),
            ("kB", KIB),
            ("MB", KIB.pow(2)),
            ("GB", KIB.pow(3)),
            ("TB", KIB.pow(4)),
        ],
    )
}

/// A time. Below a millisecond only zero is left, which no range of this list begins with.
fn milliseconds(value: &str) -> Option<u64> {
    let units = [
        ("ms", 1),
        ("s", 1000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    with_unit(value, &units).or_else(|| with_unit(value, &[("us", 1)]).map(|us| us / 1000))
}

fn with_unit(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = value.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = value.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |special: Option<&str>| special.map_or(String::new(), |s| format!(", or {s}"));
        match *self {
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Real { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Memory { min, max, special } => {
                let (min, max) = (shown_bytes(min), shown_bytes(max));
                write!(
                    f,
                    "memory with its unit (B, kB, MB, GB, TB) from {min} to {max}{}",
                    or(special)
                )
            }
            Self::Duration { min, max, special } => {
                let (min, max) = (shown_time(min), shown_time(max));
                write!(
                    f,
                    "a time with its unit (us, ms, s, min, h, d) from {min} to {max}{}",
                    or(special)
                )
            }
            Self::Bool => write!(f, "on or off"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::List(words) => write!(f, "some of {}, joined by commas", words.join(", ")),
            Self::TimeZone => write!(f, "the name of a time zone, such as Europe/Berlin"),
        }
    }
}

fn shown_bytes(bytes: u64) -> String {
    largest(bytes, &[("GB", KIB.pow(3)), ("MB", KIB.pow(2)), ("kB", KIB)], "B")
}

fn shown_time(milliseconds: u64) -> String {
    largest(
        milliseconds,
        &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)],
        "ms",
    )
}

fn largest(amount: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let fitting = units
        .iter()
        .find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    fitting.map_or_else(
        || format!("{amount}{smallest}"),
        |(unit, factor)| format!("{}{unit}", amount / factor),
    )
}

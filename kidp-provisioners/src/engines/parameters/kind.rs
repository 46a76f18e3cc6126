//! Types of parameter values.

use std::fmt;

use super::units::{self, Units};

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
    /// An amount of memory, as the engine writes it.
    Memory {
        /// Fewest bytes.
        min: u64,
        /// Most bytes.
        max: u64,
        /// The units that the engine reads.
        units: Units,
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
    /// Letters of some, each meaning something of its own; none at all is accepted too.
    Letters(&'static str),
    /// Groups of this many whole numbers, separated by blanks; none at all is accepted too.
    Numbers(usize),
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
            Self::Memory {
                min,
                max,
                units,
                special,
            } => special == Some(value) || units.bytes(value).is_some_and(|n| (min..=max).contains(&n)),
            Self::Duration { min, max, special } => {
                special == Some(value) || units::milliseconds(value).is_some_and(|n| (min..=max).contains(&n))
            }
            Self::Bool => ["on", "off", "true", "false"]
                .iter()
                .any(|word| value.eq_ignore_ascii_case(word)),
            Self::Choice(words) => words.contains(&value),
            Self::List(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Self::Letters(letters) => value.chars().all(|letter| letters.contains(letter)),
            Self::Numbers(group) => are_numbers(value, group),
            Self::TimeZone => is_time_zone(value),
        }
    }
}

fn are_numbers(value: &str, group: usize) -> bool {
    let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
    let short = |word: &&str| word.len() <= 9 && word.bytes().all(|b| b.is_ascii_digit());
    words.len().is_multiple_of(group) && words.len() <= 32 && words.iter().all(short)
}

/// The form of a name in the IANA database; whether it is there, the server says.
fn is_time_zone(value: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    (1..=64).contains(&value.len())
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(allowed)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |special: Option<&str>| special.map_or(String::new(), |s| format!(", or {s}"));
        match *self {
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Real { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Memory {
                min,
                max,
                units,
                special,
            } => {
                let (min, max) = (units.shown(min), units.shown(max));
                write!(f, "memory {units} from {min} to {max}{}", or(special))
            }
            Self::Duration { min, max, special } => {
                let (min, max) = (units::shown_time(min), units::shown_time(max));
                write!(
                    f,
                    "a time with its unit (us, ms, s, min, h, d) from {min} to {max}{}",
                    or(special)
                )
            }
            Self::Bool => write!(f, "on or off"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::List(words) => write!(f, "some of {}, joined by commas", words.join(", ")),
            Self::Letters(letters) => write!(f, "letters of {letters}"),
            Self::Numbers(group) => {
                write!(f, "whole numbers in groups of {group}, separated by blanks")
            }
            Self::TimeZone => write!(f, "the name of a time zone, such as Europe/Berlin"),
        }
    }
}

//! Amounts of memory and time, as engines write them.

use std::fmt;

const KIB: u64 = 1024;

/// How an engine writes amounts of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Units and the bytes of each, smallest first. An empty one is a number without unit, which is bytes.
    pub names: &'static [(&'static str, u64)],
    /// Whether `Mb` is as good as `mb`.
    pub ignore_case: bool,
}

/// `B`, `kB`, `MB`, `GB` and `TB`, in powers of 1024. A bare number is refused: it means something else for each
/// parameter. <https://www.postgresql.org/docs/current/config-setting.html>
pub const POSTGRESQL: Units = Units {
    names: &[
        ("B", 1),
        ("kB", KIB),
        ("MB", KIB.pow(2)),
        ("GB", KIB.pow(3)),
        ("TB", KIB.pow(4)),
    ],
    ignore_case: false,
};

/// Bytes, or `K`, `M`, `G` and `T` in powers of 1024.
/// <https://dev.mysql.com/doc/refman/8.4/en/program-variables.html>
pub const MYSQL: Units = Units {
    names: &[
        ("", 1),
        ("K", KIB),
        ("M", KIB.pow(2)),
        ("G", KIB.pow(3)),
        ("T", KIB.pow(4)),
    ],
    ignore_case: true,
};

/// Bytes, or `kb`, `mb` and `gb` in powers of 1024. Redis reads `k`, `m` and `g` as powers of 1000, which are left
/// out: nobody means them. <https://raw.githubusercontent.com/redis/redis/8.0/redis.conf>
pub const REDIS: Units = Units {
    names: &[("", 1), ("kb", KIB), ("mb", KIB.pow(2)), ("gb", KIB.pow(3))],
    ignore_case: true,
};

impl Units {
    /// The bytes of an amount.
    pub fn bytes(&self, value: &str) -> Option<u64> {
        with_unit(value, self.names, self.ignore_case)
    }

    /// An amount in the largest unit that leaves no fraction.
    pub fn shown(&self, bytes: u64) -> String {
        largest(bytes, self.names)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<&str> = self
            .names
            .iter()
            .map(|(name, _)| *name)
            .filter(|n| !n.is_empty())
            .collect();
        let bare = self.names.iter().any(|(name, _)| name.is_empty());
        let how = if bare {
            "in bytes or with a unit"
        } else {
            "with its unit"
        };
        write!(f, "{how} ({})", named.join(", "))
    }
}

const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A time. Below a millisecond only zero is left, which no range begins with.
pub(super) fn milliseconds(value: &str) -> Option<u64> {
    with_unit(value, &TIMES, false).or_else(|| with_unit(value, &[("us", 1)], false).map(|us| us / 1000))
}

pub(super) fn shown_time(milliseconds: u64) -> String {
    largest(milliseconds, &TIMES)
}

fn with_unit(value: &str, units: &[(&str, u64)], ignore_case: bool) -> Option<u64> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let unit = unit.trim_start();
    let same = |name: &str| name == unit || (ignore_case && name.eq_ignore_ascii_case(unit));
    let (_, factor) = units.iter().find(|(name, _)| same(name))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn largest(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units
        .iter()
        .rev()
        .find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    fitting.map_or_else(
        || amount.to_string(),
        |(unit, factor)| format!("{}{unit}", amount / factor),
    )
}

#[cfg(test)]
mod tests {
    use super::{MYSQL, POSTGRESQL, REDIS};

    #[test]
    fn each_engine_reads_its_own_units() {
        assert_eq!(POSTGRESQL.bytes("16 MB"), Some(16 << 20));
        assert_eq!(POSTGRESQL.bytes("16"), None);
        assert_eq!(MYSQL.bytes("16M"), Some(16 << 20));
        assert_eq!(MYSQL.bytes("16m"), Some(16 << 20));
        assert_eq!(MYSQL.bytes("4096"), Some(4096));
        assert_eq!(REDIS.bytes("16MB"), Some(16 << 20));
        assert_eq!(REDIS.bytes("16m"), None);
        assert_eq!(REDIS.bytes(""), None);
        assert_eq!(MYSQL.bytes("99999999999G"), None);
    }

    #[test]
    fn amounts_are_shown_in_the_largest_unit() {
        assert_eq!(POSTGRESQL.shown(1 << 40), "1TB");
        assert_eq!(MYSQL.shown(1500), "1500");
        assert_eq!(REDIS.shown(3 << 20), "3mb");
        assert_eq!(MYSQL.to_string(), "in bytes or with a unit (K, M, G, T)");
    }
}

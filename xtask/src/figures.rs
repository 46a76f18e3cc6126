//! What measurements make of their values.

use std::time::Duration;

/// A figure beside what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    what: String,
    bound: String,
    measured: String,
    met: bool,
}

impl Goal {
    /// The figure is to be no more than this.
    pub fn at_most(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        Self::new(what.into(), "at most", limit, measured, unit, measured <= limit)
    }

    /// The figure is to be no less than this.
    pub fn at_least(what: impl Into<String>, limit: f64, measured: f64, unit: &str) -> Self {
        Self::new(what.into(), "at least", limit, measured, unit, measured >= limit)
    }

    fn new(what: String, bound: &str, limit: f64, measured: f64, unit: &str, met: bool) -> Self {
        Self {
            what,
            bound: format!("{bound} {limit} {unit}").trim_end().to_owned(),
            measured: format!("{measured:.2} {unit}").trim_end().to_owned(),
            met,
        }
    }
}

/// All of them, a line each.
pub fn goals(goals: &[Goal]) -> String {
    let line = |goal: &Goal| {
        let met = if goal.met { "yes" } else { "no" };
        format!("| {} | {} | {} | {met} |\n", goal.what, goal.bound, goal.measured)
    };
    let lines: String = goals.iter().map(line).collect();
    format!("| | goal | measured | met |\n|---|---|---|---|\n{lines}")
}

/// The middle one; nothing of nothing is 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The value below which a share of the values lies; they are sorted.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a list of some thousand"
    )]
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Memory of a process by a line of its `/proc/<id>/status`, such as `VmRSS` (now) or `VmHWM` (at most), in KiB; none
/// once it has ended.
pub fn memory_kib(id: u32, line: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let rest = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Processor time of a process so far, all its threads together; none once it has ended.
pub fn cpu_milliseconds(id: u32) -> Option<f64> {
    /// Of the counters in `/proc`, on every architecture that Linux has today.
    const TICK_MS: f64 = 10.0;
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it.
    let (_, rest) = text.rsplit_once(')')?;
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_not_on_its_own_side() {
        let told = goals(&[
            Goal::at_most("time", 150.0, 158.0, "ms"),
            Goal::at_least("ratio", 0.8, 0.8, ""),
        ]);
        assert!(told.ends_with(
            "| time | at most 150 ms | 158.00 ms | no |\n| ratio | at least 0.8 | 0.80 | yes |\n"
        ));
    }

    #[test]
    fn the_middle_one_counts() {
        assert!((median(vec![3.0, 100.0, 1.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&values, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&values[..1], 0.99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 0.99), Duration::ZERO);
    }

    #[test]
    fn a_process_has_memory_and_none_has_none() {
        let (now, most) = (
            memory_kib(std::process::id(), "VmRSS"),
            memory_kib(std::process::id(), "VmHWM"),
        );
        assert!(now.unwrap() > 0.0 && most.unwrap() >= now.unwrap() / 2.0);
        assert_eq!(memory_kib(std::process::id(), "VmNothing"), None);
    }

    #[test]
    fn a_process_that_works_uses_its_processor() {
        let id = std::process::id();
        let before = cpu_milliseconds(id).unwrap();
        let began = std::time::Instant::now();
        while cpu_milliseconds(id).unwrap() <= before {
            assert!(began.elapsed() < Duration::from_mins(1));
        }
        assert_eq!(cpu_milliseconds(u32::MAX), None);
    }
}

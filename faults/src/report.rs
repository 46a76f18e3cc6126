//! The result as tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::campaign::{Find, SEVERAL, Tally};
use crate::fault::COLUMNS;

/// Plans that struck, by scenario and fault.
pub fn plans(tally: &Tally) -> String {
    let scenarios: BTreeSet<_> = tally.cells.keys().map(|(scenario, _)| *scenario).collect();
    let columns: Vec<_> = COLUMNS.into_iter().chain([SEVERAL]).collect();
    let mut text = format!("| scenario | {} | all | violations |\n", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len() + 2));
    let count = |scenario: &str, column: &str| {
        let of = |(key, n): (&(&str, &str), &usize)| (key.0 == scenario && key.1 == column).then_some(*n);
        tally.cells.iter().find_map(of).unwrap_or(0)
    };
    let broken = |scenario: &str| {
        tally
            .broken
            .iter()
            .filter(|(job, _)| job.scenario.name == scenario)
            .count()
    };
    let row = |text: &mut String, name: &str, counts: &[usize], broken: usize| {
        let cells: Vec<_> = counts
            .iter()
            .map(|n| if *n == 0 { "–".to_owned() } else { n.to_string() })
            .collect();
        let all: usize = counts.iter().sum();
        let _ = writeln!(text, "| {name} | {} | {all} | {broken} |", cells.join(" | "));
    };
    for scenario in &scenarios {
        let counts: Vec<_> = columns.iter().map(|column| count(scenario, column)).collect();
        row(&mut text, scenario, &counts, broken(scenario));
    }
    let sum = |column: &&str| scenarios.iter().map(|scenario| count(scenario, column)).sum();
    let sums: Vec<usize> = columns.iter().map(sum).collect();
    row(&mut text, "**all**", &sums, tally.broken.len());
    text
}

/// Planted faults, and what found them.
pub fn planted(finds: &[Find]) -> String {
    let mut text = "| planted fault | found by the rule | in |\n|---|---|---|\n".to_owned();
    for find in finds {
        let rules: Vec<_> = find.rules.iter().map(|rule| format!("`{rule:?}`")).collect();
        let rules = if rules.is_empty() {
            "**not found**".to_owned()
        } else {
            rules.join(", ")
        };
        let job = find.job.as_ref().map(|job| match job.plan.as_slice() {
            [] => format!("`{}`, without another fault", job.scenario.name),
            _ => job.describe(),
        });
        let _ = writeln!(text, "| {} | {rules} | {} |", find.name, job.unwrap_or_default());
    }
    text
}

/// What was broken, in words.
pub fn broken(tally: &Tally, most: usize) -> String {
    let mut text = String::new();
    for (job, violations) in tally.broken.iter().take(most) {
        let _ = writeln!(text, "{}", job.describe());
        for violation in violations {
            let _ = writeln!(text, "    {:?}: {}", violation.rule, violation.seen);
        }
    }
    text
}

//! What `deploy/monitoring` and the documents say of metrics and alerts, held to what both programs register.
//!
//! What needs Prometheus' own tools, that rules are sound and that alerts fire, is checked by `cargo xtask monitoring`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What every histogram is scraped as.
const SERIES_OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every metric of both programs, and its type.
fn registered() -> BTreeMap<String, &'static str> {
    let operator = kidp_operator::metrics::names().into_iter();
    let broker = kidp_broker::metrics::names().into_iter();
    let all = operator.map(|named| (named.name, named.kind));
    all.chain(broker.map(|named| (named.name, named.kind))).collect()
}

/// Every series that a scrape may have.
fn series() -> BTreeSet<String> {
    let mut series = BTreeSet::new();
    for (name, kind) in registered() {
        match kind {
            "histogram" => series.extend(SERIES_OF_HISTOGRAMS.map(|end| format!("{name}{end}"))),
            _ => {
                series.insert(name);
            }
        }
    }
    series
}

/// The rules of a program.
fn rules(of: &str) -> Vec<Value> {
    let file: Value = serde_yaml_ng::from_str(&read(&format!("deploy/monitoring/rules/{of}.yaml"))).unwrap();
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

fn all_rules() -> Vec<Value> {
    ["operator", "broker"].into_iter().flat_map(rules).collect()
}

fn alerts() -> Vec<Value> {
    let mut rules = all_rules();
    rules.retain(|rule| rule.get("alert").is_some());
    rules
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} of {value}"))
}

/// Every expression of the dashboards, after the name of its dashboard.
fn dashboards() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(checkout().join("deploy/monitoring/dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                found.push((path.display().to_string(), text(target, "expr").to_owned()));
            }
        }
    }
    found
}

/// The names of ours in an expression: of series, and of what rules record.
fn names(expression: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(|c| !is_part(c));
    words.filter(|word| word.contains("kidp_")).collect()
}

#[test]
fn every_metric_in_rules_and_dashboards_is_registered() {
    let rules = all_rules();
    let recorded = rules.iter().filter_map(|rule| rule["record"].as_str());
    let mut known = series();
    known.extend(recorded.map(ToOwned::to_owned));
    let of_rules = rules.iter().map(|rule| {
        let name = rule["record"].as_str().or_else(|| rule["alert"].as_str());
        (name.unwrap().to_owned(), text(rule, "expr").to_owned())
    });
    let mut asked = 0;
    for (place, expression) in of_rules.chain(dashboards()) {
        let names = names(&expression);
        assert!(!names.is_empty(), "{place}: {expression} asks nothing of KIDP");
        asked += names.len();
        for name in names {
            assert!(known.contains(name), "{place}: there is no {name}");
        }
    }
    assert!(asked > 80, "only {asked} were found");
}

#[test]
fn a_metric_that_is_not_registered_would_be_found() {
    assert_eq!(
        names(r#"sum(rate(kidp_operator_made_up_total{kind="kidp"}[5m])) / kind:kidp_operator_x:p95"#),
        ["kidp_operator_made_up_total", "kind:kidp_operator_x:p95"]
    );
    let series = series();
    assert!(!series.contains("kidp_operator_made_up_total"));
    assert!(series.contains("kidp_operator_reconcile_duration_seconds_bucket"));
    assert!(!series.contains("kidp_operator_reconcile_duration_seconds"));
    assert!(series.contains("kidp_broker_outbox_entries"));
}

#[test]
fn the_rules_of_a_program_speak_of_no_other() {
    // They are evaluated where that program is scraped, and the other one may not be.
    for (program, other) in [("operator", "kidp_broker_"), ("broker", "kidp_operator_")] {
        for rule in rules(program) {
            assert!(!text(&rule, "expr").contains(other), "{program}: {rule}");
        }
    }
}

#[test]
fn the_documents_list_every_metric_with_its_type_and_no_other() {
    let document = read("docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `kidp_"));
    let listed: BTreeMap<String, String> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    let registered: BTreeMap<_, _> = registered()
        .into_iter()
        .map(|(name, kind)| (name, kind.to_owned()))
        .collect();
    assert_eq!(listed, registered);
}

/// The headings of the runbook's alerts.
fn headings() -> BTreeSet<String> {
    let runbook = read("docs/runbook.md");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    headings.map(ToOwned::to_owned).collect()
}

#[test]
fn every_alert_has_its_heading_in_the_runbook_and_the_reverse() {
    let alerts = alerts();
    let named: BTreeSet<_> = alerts
        .iter()
        .map(|alert| text(alert, "alert").to_owned())
        .collect();
    assert_eq!(named.len(), alerts.len(), "two alerts have one name");
    assert_eq!(headings(), named);
    for alert in &alerts {
        let (name, annotations) = (text(alert, "alert"), &alert["annotations"]);
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(text(annotations, "runbook_url"), anchor);
        assert!(text(annotations, "summary").ends_with('.'), "{name}");
        let severity = text(&alert["labels"], "severity");
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity}"
        );
    }
}

#[test]
fn the_runbook_says_of_each_alert_what_it_means_and_what_to_look_at_and_to_do() {
    let runbook = read("docs/runbook.md");
    for section in runbook.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**Means**", "**Look**", "**Do**"] {
            assert_eq!(section.matches(part).count(), 1, "{part} of {name}");
        }
    }
}

#[test]
fn every_alert_is_tested_to_fire_and_not_to() {
    let mut outcomes: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for program in ["operator", "broker"] {
        let path = format!("deploy/monitoring/tests/{program}.yaml");
        let file: Value = serde_yaml_ng::from_str(&read(&path)).unwrap();
        for test in file["tests"].as_array().unwrap() {
            for check in test["alert_rule_test"].as_array().unwrap() {
                let fires = !check["exp_alerts"].as_array().unwrap().is_empty();
                let name = text(check, "alertname").to_owned();
                outcomes.entry(name).or_default().insert(fires);
            }
        }
    }
    let both = BTreeSet::from([false, true]);
    let wanted: BTreeMap<_, _> = alerts()
        .iter()
        .map(|alert| (text(alert, "alert").to_owned(), both.clone()))
        .collect();
    assert_eq!(outcomes, wanted);
}

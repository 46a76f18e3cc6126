//! The answer of `status` for people.

use std::fmt::Write as _;

use super::report::{Node, Report};
use crate::output::{Format, Health, Paint, table};

/// As a tree, or as columns.
pub fn text(report: &Report, format: Format, paint: Paint) -> String {
    let mut text = match format {
        Format::Table => rows(report),
        Format::Tree | Format::Json | Format::Yaml => tree(report, paint),
    };
    if !report.warnings.is_empty() {
        let _ = writeln!(text, "\n{}", paint.strong("Warnings"));
    }
    for warning in &report.warnings {
        let count = if warning.count > 1 {
            format!(" (x{})", warning.count)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "  {} {}{count}: {}",
            warning.object, warning.reason, warning.message
        );
    }
    if !report.not_seen.is_empty() {
        let _ = writeln!(text, "\n{}", paint.strong("Not seen"));
    }
    for gap in &report.not_seen {
        let _ = writeln!(text, "  {gap}");
    }
    if let Some(cause) = &report.cause {
        let health = if cause.failing { Health::Bad } else { Health::Open };
        let reason = paint.health(health, &cause.reason);
        let _ = writeln!(text, "\ncause: {reason}: {}: {}", cause.object, cause.message);
        let _ = writeln!(text, "   do: {}", cause.action);
    }
    text
}

fn tree(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    let head = &report.chain;
    let _ = writeln!(text, "{} in {}", headline(head, paint), report.namespace);
    below(head, "", paint, &mut text);
    text
}

fn headline(node: &Node, paint: Paint) -> String {
    let name = paint.strong(&format!("{}/{}", node.kind, node.name));
    format!("{name}  {}", paint.health(node.health, &node.state))
}

/// Details and children of a node, each behind its branch.
fn below(node: &Node, indent: &str, paint: Paint, text: &mut String) {
    let stem = if node.children.is_empty() { " " } else { "│" };
    for detail in &node.details {
        let _ = writeln!(text, "{indent}{stem}    {}", paint.dim(detail));
    }
    for (at, child) in node.children.iter().enumerate() {
        let is_last = at + 1 == node.children.len();
        let (branch, stem) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let _ = writeln!(text, "{indent}{branch}{}", headline(child, paint));
        below(child, &format!("{indent}{stem}"), paint, text);
    }
}

fn rows(report: &Report) -> String {
    let mut rows = vec![["OBJECT", "STATE", "DETAIL"].map(str::to_owned).to_vec()];
    collect(&report.chain, &mut rows);
    table(&rows)
}

fn collect(node: &Node, rows: &mut Vec<Vec<String>>) {
    let object = format!("{}/{}", node.kind, node.name);
    rows.push(vec![object, node.state.clone(), node.details.join("; ")]);
    for child in &node.children {
        collect(child, rows);
    }
}

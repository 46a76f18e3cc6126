//! The reference of engine parameters: what `spec.parameters` takes for each engine, from the lists that validate it.

use std::fmt::Write as _;

use kidp_provisioners::{ClusterFeatures, Provisioner, Registry};

use super::cell;

/// A cluster that has all that engines can make use of.
pub const EVERYTHING: ClusterFeatures = ClusterFeatures {
    cert_manager: true,
    cloudnative_pg: true,
    prometheus_operator: true,
};

/// The whole document.
pub fn page() -> String {
    let mut text = String::from(
        "# Engine parameters\n\nWhat `spec.parameters` takes. A name that is not listed is refused, by field, with the reason \
         where it is one that KIDP sets itself. A changed parameter restarts the pods at present; *restart* marks those that \
         the engine itself reads at its start only.\n",
    );
    for engine in Registry::standard().iter() {
        section(&mut text, engine.as_ref());
    }
    text
}

fn section(text: &mut String, engine: &dyn Provisioner) {
    let resource = engine.resource_type();
    let offered = engine.capabilities_with(EVERYTHING);
    let availability = if offered.high_availability {
        "high availability"
    } else {
        "no high availability"
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "\n## {} as {resource}\n", engine.engine());
    let _ = writeln!(
        text,
        "Versions {}; {availability}.\n",
        offered.versions.join(", ")
    );
    text.push_str("| parameter | takes | |\n|---|---|---|\n");
    for parameter in engine.parameters() {
        let restart = if parameter.restart { "restart" } else { "" };
        let takes = cell(&parameter.kind.to_string());
        let _ = writeln!(text, "| `{}` | {takes} | {restart} |", parameter.name);
    }
}

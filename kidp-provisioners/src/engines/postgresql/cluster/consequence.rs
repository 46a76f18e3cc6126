//! What CloudNativePG does when a field of a `Cluster` is put right.
//!
//! It reloads what PostgreSQL takes on while it runs, and replaces members one after another, the one that takes writes
//! last, for the rest. <https://cloudnative-pg.io/documentation/current/postgresql_conf/#changing-configuration>

use kidp_drift::{Change, Consequence};

use super::super::{Postgresql, parameters};
use crate::consequence::{is_below, size, version_of};
use crate::provisioner::Provisioner;

/// Fields that change no pod: of the operator, of objects beside the pods, or read at the first start only.
const QUIET: [&str; 7] = [
    "spec.instances",
    "spec.bootstrap",
    "spec.enableSuperuserAccess",
    "spec.enablePDB",
    "spec.primaryUpdateStrategy",
    "spec.inheritedMetadata",
    "spec.monitoring",
];
/// Fields that are fixed at creation.
const FIXED: [&str; 2] = ["spec.postgresUID", "spec.postgresGID"];
const PARAMETERS: &str = "spec.postgresql.parameters";

/// What putting a field of a `Cluster` right does.
pub(in super::super) fn consequence(engine: &Postgresql, change: &Change) -> Consequence {
    let path = change.path.as_str();
    let is_in = |fields: &[&str]| fields.iter().any(|field| is_below(path, field));
    if path.is_empty() {
        // Its claims are its own, and go with it.
        return Consequence::DataLoss;
    }
    if !is_below(path, "spec") || is_in(&QUIET) {
        return Consequence::None;
    }
    if is_in(&FIXED) {
        return Consequence::Recreate;
    }
    if is_below(path, "spec.storage.storageClass") {
        return Consequence::DataLoss;
    }
    if is_below(path, "spec.storage.size") {
        return size(change.before.as_str(), change.after.as_str());
    }
    if is_below(path, "spec.postgresql.synchronous") {
        return Consequence::Reload;
    }
    if is_below(path, PARAMETERS) {
        return parameter(path);
    }
    if is_below(path, "spec.imageName") {
        let versions = version_of(&change.before).zip(version_of(&change.after));
        if versions.is_some_and(|(wanted, present)| !engine.opens_data(present, wanted)) {
            return Consequence::DataLoss;
        }
    }
    Consequence::RollingRestart
}

/// Whether PostgreSQL takes a parameter on while it runs; one that is not on the list is taken for one that it does not.
fn parameter(path: &str) -> Consequence {
    let name = path.strip_prefix(PARAMETERS).unwrap_or_default();
    let name = name.trim_matches(['.', '[', ']']);
    match parameters::CATALOGUE.find(name) {
        Some(parameter) if !parameter.restart => Consequence::Reload,
        _ => Consequence::RollingRestart,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(path: &str, wanted: Value, present: Value) -> Consequence {
        let change = Change {
            path: path.to_owned(),
            before: wanted,
            after: present,
            ..Change::missing("Cluster/orders")
        };
        consequence(&Postgresql::default(), &change)
    }

    #[test]
    fn what_postgresql_reloads_is_told_from_what_starts_it_anew() {
        use Consequence::{DataLoss, None, Recreate, Reload, RollingRestart};
        let gi = |n: u32| json!(format!("{n}Gi"));
        for (path, wanted, present, consequence) in [
            ("", Value::Null, Value::Null, DataLoss),
            ("metadata.labels.a", json!("b"), Value::Null, None),
            ("spec.instances", json!(3), json!(2), None),
            (
                "spec.postgresql.parameters.work_mem",
                json!("8MB"),
                json!("4MB"),
                Reload,
            ),
            (
                "spec.postgresql.parameters.max_connections",
                json!("9"),
                json!("8"),
                RollingRestart,
            ),
            (
                "spec.postgresql.parameters.huge_pages",
                json!("off"),
                json!("on"),
                RollingRestart,
            ),
            (
                "spec.postgresql.sharedPreloadLibraries",
                json!([]),
                json!(["a"]),
                RollingRestart,
            ),
            ("spec.postgresql.synchronous.number", json!(1), json!(2), Reload),
            (
                "spec.resources.limits.cpu",
                json!("2"),
                json!("1"),
                RollingRestart,
            ),
            ("spec.storage.size", gi(2), gi(1), None),
            ("spec.storage.size", gi(1), gi(2), DataLoss),
            ("spec.storage.storageClass", json!("a"), json!("b"), DataLoss),
            ("spec.postgresUID", json!(26), json!(1), Recreate),
            (
                "spec.imageName",
                json!("r/postgresql:17.2"),
                json!("r/postgresql:17.1"),
                RollingRestart,
            ),
            (
                "spec.imageName",
                json!("r/postgresql:17"),
                json!("r/postgresql:18"),
                DataLoss,
            ),
        ] {
            assert_eq!(of(path, wanted, present), consequence, "{path}");
        }
    }
}

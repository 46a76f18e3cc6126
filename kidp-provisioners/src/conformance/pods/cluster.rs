//! What a `Cluster` asks for its pods. CloudNativePG makes them restricted, unless it is told otherwise.
//!
//! <https://cloudnative-pg.io/documentation/current/security/#pod-and-container-security-contexts>. Its members ask the
//! API server about themselves, so that they have a token, with rights on objects of their own.

use serde_json::{Value, json};

use crate::conformance::objects::text;

/// Where a `Cluster` could weaken what its pods are confined by, or add to what runs in them.
const OVERRIDES: [&str; 5] = [
    "podSecurityContext",
    "securityContext",
    "serviceAccountName",
    "projectedVolumeTemplate",
    "superuserSecret",
];

/// What the spec of a `Cluster`, given as JSON, asks for that its pods should not have; each names the field.
pub fn cluster_violations(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in OVERRIDES.iter().filter(|field| !spec[**field].is_null()) {
        found.push(format!("{field} is CloudNativePG's own to set"));
    }
    if text(spec, "/seccompProfile/type") != "RuntimeDefault" {
        found.push("seccompProfile must be RuntimeDefault".to_owned());
    }
    for field in ["postgresUID", "postgresGID"] {
        if spec[field] == json!(0) {
            found.push(format!("{field} 0 is root"));
        }
    }
    if spec["enableSuperuserAccess"] != json!(false) {
        found.push("enableSuperuserAccess must be false".to_owned());
    }
    if spec["postgresql"]["enableAlterSystem"] == json!(true) {
        found.push("enableAlterSystem lets settings change behind the spec".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weakness_is_named() {
        let good = json!({"seccompProfile": {"type": "RuntimeDefault"}, "enableSuperuserAccess": false});
        assert_eq!(cluster_violations(&good), [""; 0]);
        let spoilt = [
            ("seccompProfile", json!({"type": "Unconfined"})),
            ("enableSuperuserAccess", json!(true)),
            ("postgresUID", json!(0)),
            ("securityContext", json!({"privileged": true})),
            ("postgresql", json!({"enableAlterSystem": true})),
        ];
        for (field, value) in spoilt {
            let mut spec = good.clone();
            spec[field] = value;
            let found = cluster_violations(&spec);
            assert!(
                found.len() == 1 && found[0].contains(field) || field == "postgresql",
                "{found:?}"
            );
            assert_eq!(found.len(), 1);
        }
    }
}

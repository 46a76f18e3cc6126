//! The programs and their tests: built once, all with the same features, then run as they are. `cargo test` with and without the
//! tests that need a cluster, or for one package, would build the large libraries again each time, since their features
//! are others.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::paths::checkout;
use crate::process::{Cmd, ProcessError};

/// Features with the tests that need a cluster.
pub const FEATURES: &str = "kidp-e2e/cluster,kidp-provisioners/cluster";
const LIMIT: Duration = Duration::from_hours(1);

/// A test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its package.
    pub package: String,
    /// Its name there.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The folder of its package, where it expects to be run.
    pub folder: PathBuf,
    /// Whether it needs a cluster: its target asks for the feature.
    pub cluster: bool,
}

/// Builds all of them, and says where the tests are.
pub async fn build() -> Result<Vec<Program>, ProcessError> {
    let cargo = || {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Cmd::new(program).dir(checkout()).timeout(LIMIT)
    };
    let metadata = cargo()
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version=1",
        ])
        .output();
    let metadata: Value = serde_json::from_str(&metadata.await?).unwrap_or_default();
    let built = cargo()
        .args(["build", "--locked", "--workspace", "--bins", "--tests"])
        .args(["--features", FEATURES, "--message-format=json"])
        .reports()
        .output();
    Ok(programs(&metadata, &built.await?))
}

/// The test programs among what was built, by package and name.
fn programs(metadata: &Value, built: &str) -> Vec<Program> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    let messages = built.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut found: Vec<Program> = messages
        .filter_map(|message: Value| {
            let path = PathBuf::from(message["executable"].as_str()?);
            if message["profile"]["test"] != true {
                return None;
            }
            let package = packages.iter().find(|p| p["id"] == message["package_id"])?;
            let target = list(&package["targets"])
                .into_iter()
                .find(|t| t["name"] == message["target"]["name"] && t["kind"] == message["target"]["kind"])?;
            let manifest = PathBuf::from(word(&package["manifest_path"]));
            Some(Program {
                package: word(&package["name"]),
                name: word(&target["name"]),
                path,
                folder: manifest.parent().map(Into::into).unwrap_or_default(),
                cluster: list(&target["required-features"]).contains(&"cluster".into()),
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_tests_and_some_ask_for_a_cluster() {
        let target = |name: &str, kind: &str, features: &[&str]| serde_json::json!({"name": name, "kind": [kind], "required-features": features});
        let metadata = serde_json::json!({"packages": [{
            "id": "a 1", "name": "a", "manifest_path": "/w/a/Cargo.toml",
            "targets": [target("drift", "test", &["cluster"]), target("pure", "test", &[]), target("a", "bin", &[])],
        }]});
        let artifact = |name: &str, kind: &str, test: bool| {
            serde_json::json!({"reason": "compiler-artifact", "package_id": "a 1", "profile": {"test": test},
                "target": {"name": name, "kind": [kind]}, "executable": format!("/t/{name}-1")})
            .to_string()
        };
        let built = [
            "not json".to_owned(),
            artifact("pure", "test", true),
            artifact("a", "bin", false),
            artifact("drift", "test", true),
            r#"{"reason": "build-finished", "success": true}"#.to_owned(),
        ];
        let found = programs(&metadata, &built.join("\n"));
        let told: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.cluster)).collect();
        assert_eq!(told, [("drift", true), ("pure", false)]);
        assert_eq!(found[0].path, PathBuf::from("/t/drift-1"));
        assert_eq!(found[0].folder, PathBuf::from("/w/a"));
    }
}

//! The test programs that need a cluster: built once, for all of them with the same features as everything else in the
//! workspace, then run as they are. `cargo test -p` for each would build the large libraries again for each package, since
//! the features that a package asks of them alone are others.

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
}

/// Builds all programs that need a cluster, and says where they are.
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
        .args(["test", "--locked", "--workspace", "--tests", "--no-run"])
        .args(["--features", FEATURES, "--message-format=json"])
        .reports()
        .output();
    Ok(programs(&metadata, &built.await?))
}

/// The programs among what was built whose targets ask for the feature `cluster`, by package and name.
fn programs(metadata: &Value, built: &str) -> Vec<Program> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    let messages = built.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut found: Vec<Program> = messages
        .filter_map(|message: Value| {
            let path = PathBuf::from(message["executable"].as_str()?);
            let package = packages.iter().find(|p| p["id"] == message["package_id"])?;
            let target = list(&package["targets"])
                .into_iter()
                .find(|t| t["name"] == message["target"]["name"] && t["kind"] == message["target"]["kind"])?;
            let folder = PathBuf::from(word(&package["manifest_path"]));
            list(&target["required-features"])
                .contains(&"cluster".into())
                .then(|| Program {
                    package: word(&package["name"]),
                    name: word(&target["name"]),
                    path,
                    folder: folder.parent().map(Into::into).unwrap_or_default(),
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
    fn programs_are_those_that_ask_for_a_cluster() {
        let target = |name: &str, features: &[&str]| serde_json::json!({"name": name, "kind": ["test"], "required-features": features});
        let metadata = serde_json::json!({"packages": [{
            "id": "a 1", "name": "a", "manifest_path": "/w/a/Cargo.toml",
            "targets": [target("drift", &["cluster"]), target("pure", &[]), target("cel", &["cluster"])],
        }]});
        let artifact = |name: &str| {
            serde_json::json!({"reason": "compiler-artifact", "package_id": "a 1",
                "target": {"name": name, "kind": ["test"]}, "executable": format!("/t/{name}-1")})
            .to_string()
        };
        let built = [
            "not json".to_owned(),
            artifact("pure"),
            artifact("drift"),
            r#"{"reason": "build-finished", "success": true}"#.to_owned(),
            artifact("cel"),
        ];
        let found = programs(&metadata, &built.join("\n"));
        let names: Vec<_> = found.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["cel", "drift"]);
        assert_eq!(found[0].path, PathBuf::from("/t/cel-1"));
        assert_eq!(found[0].folder, PathBuf::from("/w/a"));
    }
}

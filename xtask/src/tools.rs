//! Tools that the checks need beside cargo's own, installed into the cache.

use std::path::PathBuf;
use std::time::Duration;

use crate::paths::{Layout, checkout};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

const LIMIT: Duration = Duration::from_hours(1);

/// The program of a crate, which is installed if it is not there; `options` are those of `cargo install`.
pub async fn cargo_tool(
    name: &str,
    version: &str,
    options: &[&str],
    progress: &Progress,
) -> Result<PathBuf, ProcessError> {
    let root = Layout::from_env()
        .cache
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.is_file() {
        let install = Cmd::new("cargo")
            .args([
                "install",
                name,
                "--version",
                version,
                "--locked",
                "--profile",
                "dev",
            ])
            .args(options)
            .arg("--root")
            .arg(&root)
            .timeout(LIMIT);
        progress
            .step(&format!("installing {name}"), install.output())
            .await?;
    }
    Ok(program)
}

/// The folder with the programs of packages (`name==version`) from Python's index, which are installed together into an
/// environment of their own if they are not there.
pub async fn python_tools(packages: &[&str], progress: &Progress) -> Result<PathBuf, ProcessError> {
    let root = Layout::from_env()
        .cache
        .join("tools")
        .join(packages.join("-").replace("==", "-"));
    let bin = root.join("bin");
    let done = bin.join("installed");
    if !done.is_file() {
        let environment = Cmd::new("python3").args(["-m", "venv"]).arg(&root).timeout(LIMIT);
        let install = Cmd::new(bin.join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages.iter().copied())
            .timeout(LIMIT);
        let all = async {
            environment.output().await?;
            install.output().await?;
            Cmd::new("touch").arg(&done).output().await
        };
        progress
            .step(&format!("installing {}", packages.join(" ")), all)
            .await?;
    }
    Ok(bin)
}

/// The folder with the programs of these Go packages, of the versions in `benches/twin/go.mod`.
pub async fn go_twins(packages: &[&str]) -> Result<PathBuf, ProcessError> {
    // Go makes the folder if its name ends as one.
    let bin = Layout::from_env().cache.join("tools/twin").join("");
    Cmd::new("go")
        .args(["build", "-o"])
        .arg(&bin)
        .args(packages.iter().copied())
        .dir(checkout().join("benches/twin"))
        .env("CGO_ENABLED", "0")
        .timeout(LIMIT)
        .output()
        .await?;
    Ok(bin)
}

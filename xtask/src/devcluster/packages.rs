//! Debian packages: installed only when missing, and never otherwise touched.
use std::time::Duration;

use super::Error;
use super::preflight::PACKAGES;
use crate::process::Cmd;

/// Names of the packages that are not installed.
pub async fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (name, _) in PACKAGES {
        let query = Cmd::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", name])
            .output()
            .await;
        if query.ok().as_deref() != Some("installed") {
            missing.push(name);
        }
    }
    missing
}

/// Installs packages with `apt-get`.
pub async fn install(names: &[&str]) -> Result<(), Error> {
    if !Cmd::new("apt-get").arg("--version").succeeds().await {
        return Err(Error::NoApt(names.join(" ")));
    }
    let apt = || {
        Cmd::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .timeout(Duration::from_mins(10))
    };
    apt().args(["update", "-qq"]).output().await?;
    apt()
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(names)
        .output()
        .await?;
    Ok(())
}

//! What an image holds beside Debian's packages: programs of the pinned Go modules, and Node programs of the pinned
//! `package-lock.json` files.
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ImageError;
use super::recipe::Debian;
use crate::devcluster::{CERT_MANAGER, CLOUDNATIVE_PG, FERRETDB, GoModule, build_module, fingerprint};
use crate::paths::{Layout, checkout};
use crate::process::Cmd;

const INSTALL_DEADLINE: Duration = Duration::from_mins(5);

/// Pairs of a file or folder on this machine and its place in the image. `scratch` must live until they are copied.
pub async fn fetch(
    layout: &Layout,
    debian: &Debian,
    scratch: &Path,
) -> Result<Vec<(PathBuf, String)>, ImageError> {
    let mut found = Vec::new();
    for (target, tool) in &debian.go_tools {
        found.push((go_tool(layout, tool).await?, target.clone()));
    }
    for (target, folder) in &debian.node_programs {
        let source = scratch.join(folder.replace('/', "-"));
        node_program(folder, &source).await?;
        found.push((source, target.clone()));
    }
    Ok(found)
}

/// Builds a Go tool unless the cache has it.
pub async fn go_tool(layout: &Layout, tool: &str) -> Result<PathBuf, ImageError> {
    let (module, program) = find(tool)?;
    let folder = build_module(layout, module).await;
    Ok(folder.map_err(|e| fail(tool, &e))?.join(program))
}

/// What a Go tool depends on, as a hash.
pub fn go_tool_hash(tool: &str) -> Result<String, ImageError> {
    let (module, _) = find(tool)?;
    fingerprint(&Layout::from_env(), module).map_err(|e| fail(tool, &e))
}

fn find(tool: &str) -> Result<(GoModule, &str), ImageError> {
    let (folder, program) = tool
        .split_once('/')
        .ok_or_else(|| fail(tool, &"a Go tool is written `module/program`"))?;
    let known = [FERRETDB, CERT_MANAGER, CLOUDNATIVE_PG];
    let module = known.into_iter().find(|module| module.folder == folder);
    let module = module.ok_or_else(|| fail(tool, &"no such Go module"))?;
    Ok((module, program))
}

fn fail(tool: &str, reason: &dyn std::fmt::Display) -> ImageError {
    ImageError::Tool {
        name: tool.to_owned(),
        reason: reason.to_string(),
    }
}

/// Installs exactly what the lock file names. No package's script is run: it could download something else.
async fn node_program(folder: &str, target: &Path) -> Result<(), ImageError> {
    let source = checkout().join("devcluster").join(folder);
    std::fs::create_dir_all(target).map_err(ImageError::io(target))?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), target.join(file)).map_err(ImageError::io(source.join(file)))?;
    }
    Cmd::new("npm")
        .args(["ci", "--ignore-scripts", "--omit=dev", "--omit=optional"])
        .args(["--no-audit", "--no-fund", "--no-update-notifier"])
        .dir(target)
        .timeout(INSTALL_DEADLINE)
        .output()
        .await?;
    Ok(())
}

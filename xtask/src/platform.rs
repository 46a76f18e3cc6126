//! Builds operator and broker, packs them as images, and puts these on the devcluster, for the demo and the tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::devcluster::ClusterHandle;
use crate::images::{self, ImageError};
use crate::paths::{Layout, checkout};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

/// Why the programs could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The build failed.
    #[error(transparent)]
    Build(#[from] ProcessError),
    /// An image could not be made or imported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A folder could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// How the programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build; for tests of behaviour.
    Dev,
    /// Optimised; for measurements.
    Release,
}

const BUILD_LIMIT: Duration = Duration::from_mins(40);
/// What is packed.
pub const PROGRAMS: [&str; 2] = ["kidp-operator", "kidp-broker"];

/// The folder that cargo puts the programs of a profile in.
pub fn binaries(profile: Profile) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| checkout().join("target"));
    target.join(if profile == Profile::Dev {
        "debug"
    } else {
        "release"
    })
}

/// Compiles operator, broker and command line.
pub async fn build(profile: Profile) -> Result<PathBuf, PlatformError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Cmd::new(cargo).dir(checkout()).timeout(BUILD_LIMIT);
    build = build.args([
        "build",
        "--locked",
        "-p",
        "kidp-operator-bin",
        "-p",
        "kidp-broker-bin",
        // Tests of the command line run it.
        "-p",
        "kubectl-kidp",
    ]);
    if profile == Profile::Release {
        build = build.arg("--release");
    }
    build.output().await?;
    Ok(binaries(profile))
}

/// The system's certificate authorities, so that an `https` endpoint can be trusted from inside an image.
fn certificates() -> Vec<(PathBuf, String)> {
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let found = PathBuf::from(bundle)
        .is_file()
        .then(|| (PathBuf::from(bundle), bundle.to_owned()));
    found.into_iter().collect()
}

/// Packs a program as an image with this tag, into a folder, which is made if it is not there.
pub async fn pack(tag: &str, program: &Path, folder: &Path) -> Result<PathBuf, PlatformError> {
    std::fs::create_dir_all(folder).map_err(|source| PlatformError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    Ok(images::pack_binary(tag, program, &certificates(), folder).await?)
}

/// Compiles both, and on the devcluster packs each as an image and imports it.
pub async fn load(
    cluster: &ClusterHandle,
    profile: Profile,
    progress: &Progress,
) -> Result<(), PlatformError> {
    progress
        .step("building operator and broker", build(profile))
        .await?;
    import(cluster, profile, progress).await
}

/// On the devcluster, packs each as an image, as it was built last, and imports it.
pub async fn import(
    cluster: &ClusterHandle,
    profile: Profile,
    progress: &Progress,
) -> Result<(), PlatformError> {
    if !cluster.is_devcluster() {
        return Ok(());
    }
    let folder = binaries(profile);
    let layout = Layout::from_env();
    let out = layout.cache.join("images");
    for program in PROGRAMS {
        let pack = async {
            let tag = format!("localhost/{program}:dev");
            let archive = pack(&tag, &folder.join(program), &out).await?;
            Ok::<_, PlatformError>(images::import(&archive).await?)
        };
        progress
            .step(&format!("packing and importing {program}"), pack)
            .await?;
    }
    Ok(())
}

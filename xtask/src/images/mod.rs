//! Container images without a container engine: root file systems come from Debian packages, or are one program with
//! its libraries; they are packed as docker-archives and imported into the development cluster's containerd.
//!
//! The images stand in for the official ones of the same name: same tag, same user ids, same variables. Production
//! pulls the official ones.
mod archive;
mod binary;
mod recipe;
mod rootfs;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths::Layout;
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

pub use archive::{ImageConfig, pack};
pub use binary::pack_binary;
pub use recipe::Recipe;

/// Why an image cannot be made or imported.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A recipe that does not parse.
    #[error("{}: {reason}", path.display())]
    Recipe {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No recipe has this name.
    #[error("there is no image `{name}`; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// This machine's apt has no Debian.
    #[error(
        "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d; images are built from Debian packages"
    )]
    NoMirror,
    /// A shared library that the loader does not find.
    #[error("`{binary}` needs {library}, which is not on this machine")]
    MissingLibrary {
        /// The program.
        binary: String,
        /// The library.
        library: String,
    },
    /// A suite whose package is not what the recipe's tag says.
    #[error("{tag} would hold version {version}; no image may pass for another version")]
    WrongVersion {
        /// The recipe's tag.
        tag: String,
        /// What the suite has.
        version: String,
    },
    /// A Go tool or a Node program that an image holds.
    #[error("cannot make {name}: {reason}")]
    Tool {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The cluster's `ctr` cannot be found.
    #[error("cannot find the development cluster's containerd client: {0}")]
    NoClient(String),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Another program.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl ImageError {
    fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}

/// An image on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The recipe's name.
    pub name: String,
    /// The docker-archive.
    pub path: PathBuf,
}

/// Builds every image that the cache does not have.
pub async fn build_all(layout: &Layout, progress: &Progress) -> Result<Vec<Archive>, ImageError> {
    let mut archives = Vec::new();
    for recipe in recipe::all()? {
        archives.push(build(layout, &recipe, progress).await?);
    }
    Ok(archives)
}

/// Builds the images that every cluster gets, as far as the cache does not have them.
pub async fn build_default(layout: &Layout, progress: &Progress) -> Result<Vec<Archive>, ImageError> {
    let mut archives = Vec::new();
    for recipe in recipe::all()?.iter().filter(|recipe| recipe.spec.default) {
        archives.push(build(layout, recipe, progress).await?);
    }
    Ok(archives)
}

/// Makes sure that the running development cluster has these images: builds what the cache lacks, and imports what
/// this cluster has not been given yet. What a test or the demo calls before it uses an engine.
pub async fn provide(layout: &Layout, names: &[&str], progress: &Progress) -> Result<(), ImageError> {
    for name in names {
        let archive = build_named(layout, name, progress).await?;
        // The archive's folder is its recipe's hash; `down` forgets the marks together with the images.
        let hash = archive
            .path
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let marks = layout.state.join("imported");
        let mark = marks.join(hash);
        if !mark.exists() {
            progress
                .step(&format!("importing {name}"), import(&archive.path))
                .await?;
            std::fs::create_dir_all(&marks).map_err(ImageError::io(&marks))?;
            std::fs::write(&mark, name).map_err(ImageError::io(&mark))?;
        }
    }
    Ok(())
}

/// Builds one image by its name.
pub async fn build_named(layout: &Layout, name: &str, progress: &Progress) -> Result<Archive, ImageError> {
    let recipes = recipe::all()?;
    let known = || {
        recipes
            .iter()
            .map(|r| r.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let recipe = recipes
        .iter()
        .find(|r| r.name == name)
        .ok_or_else(|| ImageError::Unknown {
            name: name.to_owned(),
            known: known(),
        })?;
    build(layout, recipe, progress).await
}

async fn build(layout: &Layout, recipe: &Recipe, progress: &Progress) -> Result<Archive, ImageError> {
    let path = layout
        .cache
        .join("images")
        .join(&recipe.hash)
        .join(format!("{}.tar", recipe.name));
    if !path.is_file() {
        let name = format!("building image {}", recipe.name);
        progress.step(&name, rootfs::build(layout, recipe, &path)).await?;
    }
    Ok(Archive {
        name: recipe.name.clone(),
        path,
    })
}

/// Imports a docker-archive into the development cluster, so that pods can name its tags.
pub async fn import(archive: &Path) -> Result<(), ImageError> {
    let layout = Layout::from_env();
    let ctr = crate::devcluster::ctr(&layout).map_err(|e| ImageError::NoClient(e.to_string()))?;
    import_with(&ctr, &layout, archive).await
}

pub(crate) async fn import_with(ctr: &Path, layout: &Layout, archive: &Path) -> Result<(), ImageError> {
    Cmd::new(ctr)
        .arg("-a")
        .arg(layout.containerd_socket())
        .args(["-n", "k8s.io", "images", "import"])
        .arg(archive)
        .timeout(Duration::from_mins(3))
        .output()
        .await?;
    Ok(())
}

//! `cargo xtask images --release`: operator and broker as images to be shipped, compiled for release, packed, and held to a
//! size. Written to `target/images`, for whatever puts images into a registry.
//!
//! The size that counts is the compressed one: it is what a registry keeps and a node pulls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths::checkout;
use crate::platform::{self, PlatformError, Profile};
use crate::process::{Cmd, ProcessError};
use crate::progress::Progress;

/// Most that an image may weigh, compressed.
const LIMIT: u64 = 30_000_000;
/// Longest that compressing one takes.
const PATIENCE: Duration = Duration::from_mins(5);

/// Why there is no image, or none that may be shipped.
#[derive(Debug, thiserror::Error)]
pub enum ShippedError {
    /// It could not be made.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// It could not be compressed.
    #[error(transparent)]
    Compress(#[from] ProcessError),
    /// A file could not be looked at.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{image} has {}, of {} at the most", megabytes(*size), megabytes(LIMIT))]
    TooLarge {
        /// Which.
        image: String,
        /// Its size, compressed.
        size: u64,
    },
}

/// An image that was made.
#[derive(Debug)]
pub struct Shipped {
    /// Its name and tag.
    pub image: String,
    /// The compressed archive.
    pub path: PathBuf,
    /// Bytes that it has, and that it is unpacked to.
    pub sizes: (u64, u64),
}

impl Shipped {
    /// A line that tells of it.
    pub fn line(&self) -> String {
        let (compressed, unpacked) = self.sizes;
        let (compressed, unpacked) = (megabytes(compressed), megabytes(unpacked));
        let path = self.path.display();
        format!(
            "{}  {compressed} compressed, {unpacked} unpacked  {path}",
            self.image
        )
    }

    fn checked(self) -> Result<Self, ShippedError> {
        match self.sizes.0 {
            0..=LIMIT => Ok(self),
            size => Err(ShippedError::TooLarge {
                image: self.image,
                size,
            }),
        }
    }
}

/// Makes both, and says what they weigh.
///
/// # Errors
/// One cannot be made, or weighs too much.
pub async fn run(progress: &Progress) -> Result<Vec<Shipped>, ShippedError> {
    let build = platform::build(Profile::Release);
    let programs = progress
        .step("building operator and broker for release", build)
        .await?;
    let (folder, mut made) = (checkout().join("target/images"), Vec::new());
    for program in platform::PROGRAMS {
        let image = format!("localhost/{program}:{}", env!("CARGO_PKG_VERSION"));
        let step = format!("packing {image}");
        let shipped = progress
            .step(&step, ship(image, &programs.join(program), &folder))
            .await?;
        made.push(shipped.checked()?);
    }
    Ok(made)
}

async fn ship(image: String, program: &Path, folder: &Path) -> Result<Shipped, ShippedError> {
    let archive = platform::pack(&image, program, folder).await?;
    // Its default level, which the tools that push images have too.
    let compress = Cmd::new("gzip").args(["--keep", "--force", "--no-name"]);
    compress.arg(&archive).timeout(PATIENCE).output().await?;
    let path = archive.with_extension("tar.gz");
    let sizes = (size(&path)?, size(&archive)?);
    Ok(Shipped { image, path, sizes })
}

fn size(path: &Path) -> Result<u64, ShippedError> {
    let told = std::fs::metadata(path).map_err(|source| ShippedError::Io {
        path: path.to_owned(),
        source,
    });
    Ok(told?.len())
}

/// Bytes as megabytes, to a tenth.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_is_weighed_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let shipped = ship(
            "localhost/true:1".to_owned(),
            Path::new("/bin/true"),
            folder.path(),
        );
        let shipped = shipped.await.unwrap();
        let (compressed, unpacked) = shipped.sizes;
        assert!(compressed > 0 && compressed < unpacked, "{}", shipped.line());
        assert!(shipped.path.starts_with(folder.path()));
    }

    #[test]
    fn the_containerfile_makes_the_same_with_the_same_compiler() {
        let read = |path: &str| std::fs::read_to_string(checkout().join(path)).unwrap();
        let (recipe, toolchain) = (read("deploy/Containerfile"), read("rust-toolchain.toml"));
        let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = "));
        let compiler = format!("ARG RUST={}", channel.unwrap().trim_matches('"'));
        assert!(recipe.lines().any(|line| line == compiler), "{compiler}");
        for program in platform::PROGRAMS {
            let stages = recipe.split("\nFROM ");
            let name = format!("scratch AS {program}\n");
            let stage = stages.into_iter().find_map(|stage| stage.strip_prefix(&name));
            let copied = format!("COPY --from=build /image/{program} /");
            let entry = format!(r#"ENTRYPOINT ["/usr/local/bin/{program}"]"#);
            let lines: Vec<_> = stage.unwrap().lines().collect();
            for line in [copied.as_str(), "USER 65532:65532", &entry] {
                assert!(lines.contains(&line), "{program}: {line}");
            }
        }
    }

    #[test]
    fn one_byte_too_many_is_too_many() {
        let of = |size| Shipped {
            image: "localhost/kidp-operator:1".to_owned(),
            path: PathBuf::new(),
            sizes: (size, 0),
        };
        assert!(of(LIMIT).checked().is_ok());
        let error = of(LIMIT + 1).checked().unwrap_err().to_string();
        assert_eq!(
            error,
            "localhost/kidp-operator:1 has 30.1 MB, of 30.0 MB at the most"
        );
    }
}

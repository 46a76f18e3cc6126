//! Files that change while the broker runs: keys, certificates and policies, as the kubelet puts new versions of a
//! mounted Secret or `ConfigMap` in place.
//!
//! Contents are compared, not times: the kubelet swaps a symbolic link, which notifications of the system follow
//! badly. A version that cannot be used is logged and passed over, so that a slip of the pen shuts nobody out; the
//! last good one stays in force until the next good one.

use std::fmt::Display;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often files are looked at.
pub const EVERY: Duration = Duration::from_secs(5);
/// Largest file that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// A file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than any that makes sense.
    #[error("{}: is larger than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Its contents are not what they should be. The text holds no secret.
    #[error("{}: {reason}", path.display())]
    Contents {
        /// The file, the first where several are read together.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What the files say now. Clones see the same changes.
#[derive(Debug)]
pub struct Live<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Live<T> {
    /// A value that never changes.
    pub fn fixed(value: T) -> Self {
        Self(watch::channel(Arc::new(value)).1)
    }

    /// The value now.
    pub fn current(&self) -> Arc<T> {
        self.0.borrow().clone()
    }
}

/// Reads `paths` together, and again every `every` until `stop`. Fails only where the first version is not usable.
pub fn follow<T, E, P>(
    paths: Vec<PathBuf>,
    parse: P,
    every: Duration,
    stop: CancellationToken,
) -> Result<Live<T>, FileError>
where
    T: Send + Sync + 'static,
    E: Display + 'static,
    P: Fn(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
{
    let first = read_all(&paths)?;
    let value = parsed(&paths, &first, &parse)?;
    let (sender, receiver) = watch::channel(Arc::new(value));
    tokio::spawn(stop.run_until_cancelled_owned(keep_reading(paths, first, parse, every, sender)));
    Ok(Live(receiver))
}

async fn keep_reading<T, E, P>(
    paths: Vec<PathBuf>,
    mut seen: Vec<Vec<u8>>,
    parse: P,
    every: Duration,
    sender: watch::Sender<Arc<T>>,
) where
    E: Display,
    P: Fn(&[Vec<u8>]) -> Result<T, E>,
{
    let mut failing = false;
    loop {
        tokio::time::sleep(every).await;
        if sender.is_closed() {
            return;
        }
        let reading = paths.clone();
        let read = tokio::task::spawn_blocking(move || read_all(&reading)).await;
        let changed = match read {
            Ok(Ok(now)) if now == seen => continue,
            Ok(Ok(now)) => {
                let value = parsed(&paths, &now, &parse);
                seen = now;
                value
            }
            Ok(Err(error)) => Err(error),
            Err(_) => return,
        };
        match changed {
            Ok(value) => {
                failing = false;
                tracing::info!(file = %first(&paths), "read anew");
                sender.send_replace(Arc::new(value));
            }
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                tracing::error!(%error, "cannot be used; what was read before stays in force");
            }
        }
    }
}

fn first(paths: &[PathBuf]) -> String {
    paths.first().map(|p| p.display().to_string()).unwrap_or_default()
}

fn parsed<T, E: Display>(
    paths: &[PathBuf],
    contents: &[Vec<u8>],
    parse: &impl Fn(&[Vec<u8>]) -> Result<T, E>,
) -> Result<T, FileError> {
    parse(contents).map_err(|error| FileError::Contents {
        path: paths.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
        Ok(bytes)
    } else {
        Err(FileError::TooLarge(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(contents: &[Vec<u8>]) -> Result<u32, String> {
        let text = String::from_utf8_lossy(&contents[0]);
        text.trim().parse().map_err(|_| "is no number".to_owned())
    }

    async fn becomes(live: &Live<u32>, wanted: u32) -> bool {
        for _ in 0..200 {
            if *live.current() == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    #[tokio::test]
    async fn a_change_is_seen_and_a_bad_one_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        std::fs::write(&path, "1").unwrap();
        let stop = CancellationToken::new();
        let every = Duration::from_millis(10);
        let live = follow(vec![path.clone()], number, every, stop.clone()).unwrap();
        assert_eq!(*live.current(), 1);
        std::fs::write(&path, "2").unwrap();
        assert!(becomes(&live, 2).await);
        std::fs::write(&path, "two").unwrap();
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(*live.current(), 2, "the last good one stays");
        std::fs::write(&path, "3").unwrap();
        assert!(becomes(&live, 3).await, "and gives way to the next good one");
        stop.cancel();
    }

    #[tokio::test]
    async fn the_first_version_has_to_be_usable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        let open = || follow(vec![path.clone()], number, EVERY, CancellationToken::new());
        assert!(matches!(open(), Err(FileError::Read { .. })));
        std::fs::write(&path, "x").unwrap();
        let error = open().err().unwrap().to_string();
        assert!(error.ends_with("n: is no number"), "{error}");
        std::fs::write(&path, vec![b'1'; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(open(), Err(FileError::TooLarge(_))));
    }
}

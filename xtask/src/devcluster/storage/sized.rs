//! Volumes that can be full: a file system in memory of the claim's size, for the class `kidp-dev-sized`.
//!
//! A folder of the machine has no size of its own, so that a database on it never learns what a full disk is. These
//! cost the memory that is written to them, and what is in them is gone with the cluster.
use std::path::Path;

use kidp_core::quantity::parse_bytes;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::devcluster::{Error, mounts};

/// The storage class.
pub const CLASS: &str = "kidp-dev-sized";
/// More would put the machine's memory at risk.
const LARGEST: u64 = 2 << 30;

/// Mounts a file system of this size over the folder, or gives the one that is there this size.
pub fn provide(folder: &Path, size: &str) -> Result<(), Error> {
    let size = option(size)?;
    let mounted = mounts::table().iter().any(|mount| mount.point == folder);
    let done = if mounted {
        mount_remount(folder, MountFlags::empty(), size)
    } else {
        let options = std::ffi::CString::new(format!("{size},mode=0777")).unwrap_or_default();
        mount(CLASS, folder, "tmpfs", MountFlags::empty(), options.as_c_str())
    };
    done.map_err(|error| Error::io(folder)(error.into()))
}

/// Takes the file system away, if there is one.
pub fn withdraw(folder: &Path) -> Result<(), Error> {
    match unmount(folder, UnmountFlags::NOFOLLOW) {
        // Not a mount point, or no longer there: a volume of the other class, or a second try.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(Error::io(folder)(error.into())),
    }
}

fn option(size: &str) -> Result<String, Error> {
    match parse_bytes(size) {
        Ok(bytes) if bytes <= LARGEST => Ok(format!("size={bytes}")),
        Ok(_) => Err(Error::Volume(format!(
            "{CLASS} has no volumes above 2Gi, such as {size}"
        ))),
        Err(error) => Err(Error::Volume(format!("{size}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::option;

    #[test]
    fn a_size_becomes_bytes_and_has_a_limit() {
        assert_eq!(option("512Mi").unwrap(), "size=536870912");
        assert!(option("3Gi").is_err());
        assert!(option("much").is_err());
    }
}

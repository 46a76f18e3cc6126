//! Reads the mount table, to find what the cluster mounted and what was private before it came.
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Whether mounts under it are propagated to peers.
    pub shared: bool,
}

/// The mount table, oldest first.
pub fn table() -> Vec<Mount> {
    parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let point = PathBuf::from(unescape(fields.nth(4)?));
            // Optional fields follow the options (field 6) up to a lone dash.
            let shared = fields
                .skip(1)
                .take_while(|f| *f != "-")
                .any(|f| f.starts_with("shared:"));
            Some(Mount { point, shared })
        })
        .collect()
}

/// The kernel writes blank, tab, newline and backslash as octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |t, (code, plain)| t.replace(code, plain))
}

/// Mount points at or under a folder, innermost first.
pub fn under(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = table()
        .into_iter()
        .map(|m| m.point)
        .filter(|point| point.starts_with(root))
        .collect();
    found.reverse();
    found
}

/// Unmounts everything under a folder; what is busy is detached, so that it goes with its last user.
pub fn unmount_under(root: &Path) {
    for point in under(root) {
        if unmount(&point, UnmountFlags::NOFOLLOW).is_err() {
            let _ = unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

/// Makes every mount pass on what is mounted under it; the kubelet's volumes need that.
pub fn share_all() -> std::io::Result<()> {
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(Into::into)
}

/// Makes these mounts private again, if they still exist.
pub fn make_private(points: &[PathBuf]) {
    for point in points {
        let _ = mount_change(point, MountPropagationFlags::PRIVATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_parsed() {
        let text = "22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n\
                    30 22 0:5 / /dev/a\\040b rw - tmpfs tmpfs rw\n";
        let expected = vec![
            Mount {
                point: "/".into(),
                shared: true,
            },
            Mount {
                point: "/dev/a b".into(),
                shared: false,
            },
        ];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(table().iter().any(|m| m.point == Path::new("/")));
    }
}

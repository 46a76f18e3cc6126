//! Packs one program of this workspace as an image: the program, the shared libraries it loads, the loader, and a
//! user that is not root. There is no shell and no package in it.
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::ImageError;
use super::archive::{ImageConfig, append, pack};
use crate::process::Cmd;

const PASSWD: &str =
    "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";

/// Makes a docker-archive `<binary>.image.tar` beside nothing of the checkout: in `out_dir`. The program is the entry
/// point, as `/usr/local/bin/<file name>`, and runs as 65532:65532. `extra_files` are pairs of a source on this
/// machine and an absolute target in the image.
pub async fn pack_binary(
    tag: &str,
    binary: &Path,
    extra_files: &[(PathBuf, String)],
    out_dir: &Path,
) -> Result<PathBuf, ImageError> {
    let name = binary
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let entry = format!("/usr/local/bin/{name}");
    let said = Cmd::new("ldd").arg(binary).output().await.unwrap_or_default();
    let libraries = libraries(&said).map_err(|library| ImageError::MissingLibrary {
        binary: binary.display().to_string(),
        library,
    })?;
    let temp = tempfile::tempdir().map_err(ImageError::io("/tmp"))?;
    let layer = temp.path().join("layer.tar");
    let files = std::iter::once((binary.to_owned(), entry.clone()))
        .chain(libraries.into_iter().map(|path| (PathBuf::from(&path), path)))
        .chain(extra_files.iter().cloned());
    write_layer(&layer, files, &[])?;
    let config = ImageConfig {
        env: [("PATH".to_owned(), "/usr/local/bin".to_owned())].into(),
        entrypoint: vec![entry],
        user: "65532:65532".to_owned(),
        working_dir: "/home/nonroot".to_owned(),
        ..ImageConfig::default()
    };
    let target = out_dir.join(format!("{name}.image.tar"));
    pack(&target, &[tag.to_owned()], &config, &layer)?;
    Ok(target)
}

/// A layer of files, pairs of a source and an absolute target, and of symbolic links, pairs of a name and a target.
pub(super) fn write_layer(
    layer: &Path,
    files: impl Iterator<Item = (PathBuf, String)>,
    links: &[(String, String)],
) -> Result<(), ImageError> {
    let mut tar = tar::Builder::new(File::create(layer).map_err(ImageError::io(layer))?);
    let fail = |e| ImageError::io(layer)(e);
    append(&mut tar, "etc/passwd", PASSWD.as_bytes()).map_err(fail)?;
    append(&mut tar, "etc/group", GROUP.as_bytes()).map_err(fail)?;
    for (dir, mode, owner) in [("home/nonroot", 0o750, 65532), ("tmp", 0o1777, 0)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(0);
        tar.append_data(&mut header, dir, std::io::empty())
            .map_err(fail)?;
    }
    for (source, target) in files {
        // The content behind links, so that a library is found by the name that the program asks for.
        let mut file = File::open(&source).map_err(ImageError::io(&source))?;
        let metadata = file.metadata().map_err(ImageError::io(&source))?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&metadata);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, target.trim_start_matches('/'), &mut file)
            .map_err(fail)?;
    }
    for (name, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, name.trim_start_matches('/'), target)
            .map_err(fail)?;
    }
    tar.finish().map_err(fail)
}

/// Paths of the libraries and of the loader in what `ldd` prints; a missing library's name is the error.
fn libraries(ldd: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for line in ldd.lines().map(str::trim) {
        if let Some((name, rest)) = line.split_once(" => ") {
            match rest.split_whitespace().next() {
                Some(path) if path.starts_with('/') => found.insert(path.to_owned()),
                _ => return Err(name.to_owned()),
            };
        } else if line.starts_with('/')
            && let Some(loader) = line.split_whitespace().next()
        {
            found.insert(loader.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_is_parsed() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x1)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libgcc_s.so.1",
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(
            libraries(said),
            Ok(expected.into_iter().map(String::from).collect())
        );
        assert_eq!(libraries("\tlibx.so => not found\n"), Err("libx.so".to_owned()));
        assert_eq!(libraries("\tstatically linked\n"), Ok(BTreeSet::new()));
    }

    #[tokio::test]
    async fn a_program_is_packed_with_its_libraries() {
        let dir = tempfile::tempdir().unwrap();
        let tar = pack_binary("localhost/true:dev", Path::new("/bin/true"), &[], dir.path())
            .await
            .unwrap();
        let layer = tar::Archive::new(File::open(tar).unwrap())
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .find(|p| p.ends_with("layer.tar"));
        assert!(layer.is_some());
    }
}

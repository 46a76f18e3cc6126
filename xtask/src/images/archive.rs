//! The docker-archive format: a tar with one uncompressed layer, the image's configuration, and a manifest that
//! names both. containerd, Docker and podman all read it.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::ImageError;
use crate::devcluster::hex;

/// This machine's architecture, in the words of images and of Go.
pub(super) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// How containers of an image run, in a recipe's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ImageConfig {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Entry point.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Ports, such as `5432/tcp`.
    pub exposed_ports: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// User, such as `65532:65532`; root when empty.
    pub user: String,
    /// Folder to start in.
    pub working_dir: String,
    /// Signal that ends the program well.
    pub stop_signal: String,
}

/// Writes an archive with one layer under the given tags. The file appears by a rename.
pub fn pack(target: &Path, tags: &[String], config: &ImageConfig, layer: &Path) -> Result<(), ImageError> {
    let digest = sha256(layer)?;
    let config = config_json(config, &digest).to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(config.as_bytes())));
    let layer_name = format!("{digest}/layer.tar");
    let manifest = json!([{ "Config": config_name, "RepoTags": tags, "Layers": [layer_name] }]).to_string();
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(ImageError::io(folder))?;
    let temp = tempfile::NamedTempFile::new_in(folder).map_err(ImageError::io(folder))?;
    let mut tar = tar::Builder::new(temp.as_file());
    let write = |tar: &mut tar::Builder<&File>| {
        append(tar, &config_name, config.as_bytes())?;
        append(tar, "manifest.json", manifest.as_bytes())?;
        let mut file = File::open(layer)?;
        tar.append_file(&layer_name, &mut file)?;
        tar.finish()
    };
    write(&mut tar).map_err(ImageError::io(target))?;
    drop(tar);
    temp.persist(target).map_err(|e| ImageError::Io {
        path: target.to_owned(),
        source: e.error,
    })?;
    Ok(())
}

/// The OCI configuration of an image with one layer.
fn config_json(config: &ImageConfig, layer_digest: &str) -> serde_json::Value {
    let env: Vec<String> = config
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let set = |names: &[String]| {
        names
            .iter()
            .map(|name| (name.clone(), json!({})))
            .collect::<BTreeMap<_, _>>()
    };
    json!({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {
            "Env": env,
            "Entrypoint": config.entrypoint,
            "Cmd": config.cmd,
            "ExposedPorts": set(&config.exposed_ports),
            "Volumes": set(&config.volumes),
            "User": config.user,
            "WorkingDir": config.working_dir,
            "StopSignal": config.stop_signal,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
        "history": [{ "created": "2024-01-01T00:00:00Z", "created_by": "cargo xtask images" }],
    })
}

/// Adds a small regular file of root's.
pub(super) fn append<W: std::io::Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, content)
}

fn sha256(path: &Path) -> Result<String, ImageError> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(ImageError::io(path))?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = reader.read(&mut buffer).map_err(ImageError::io(path))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_names_its_layer_and_config() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer.tar");
        std::fs::write(&layer, b"layer").unwrap();
        let target = dir.path().join("deep/image.tar");
        let config = ImageConfig {
            env: [("PGDATA".to_owned(), "/data".to_owned())].into(),
            entrypoint: vec!["/entry".into()],
            user: "65532:65532".into(),
            ..ImageConfig::default()
        };
        pack(&target, &["localhost/x:dev".into()], &config, &layer).unwrap();

        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(File::open(&target).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "localhost/x:dev");
        assert_eq!(files[manifest[0]["Layers"][0].as_str().unwrap()], b"layer");
        let config: serde_json::Value =
            serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(config["config"]["Env"][0], "PGDATA=/data");
        let digest = hex(&Sha256::digest(b"layer"));
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{digest}"));
    }
}

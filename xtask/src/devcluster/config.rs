//! Renders the configuration files in `devcluster/config/` into the state folder. They are real files of their own
//! format with `@NAME@` where a value goes; one that stays unfilled is an error rather than a puzzle later.
use std::path::Path;

use super::binaries::Binaries;
use super::{Error, NODE_IP, POD_BRIDGE, POD_CIDR};
use crate::paths::{Layout, checkout};

/// Template in `devcluster/config/`, and where it goes under `conf/`.
const FILES: [(&str, &str); 6] = [
    ("containerd.toml", "containerd.toml"),
    ("registry-hosts.toml", "registry/_default/hosts.toml"),
    ("cni.conflist", "cni/10-kidp.conflist"),
    ("kubelet.yaml", "kubelet.yaml"),
    ("Corefile", "Corefile"),
    ("audit-policy.yaml", "audit-policy.yaml"),
];

/// Writes every configuration file.
pub fn write_all(layout: &Layout, binaries: &Binaries) -> Result<(), Error> {
    let state = layout.state.display().to_string();
    let cgroup = layout.cgroup();
    let node_bin = binaries.node.display().to_string();
    let values = [
        ("STATE", state.as_str()),
        ("NODE_BIN", node_bin.as_str()),
        ("NODE_IP", NODE_IP),
        ("POD_BRIDGE", POD_BRIDGE),
        ("POD_CIDR", POD_CIDR),
        ("CGROUP", cgroup.as_str()),
    ];
    for (source, target) in FILES {
        let source = checkout().join("devcluster/config").join(source);
        let template = std::fs::read_to_string(&source).map_err(Error::io(&source))?;
        let text = render(&template, &values).map_err(|name| Error::Record {
            path: source,
            reason: format!("nothing fills @{name}@"),
        })?;
        put(&layout.conf().join(target), &text)?;
    }
    put(
        &layout.conf().join("resolv.conf"),
        &format!("nameserver {NODE_IP}\n"),
    )
}

fn put(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    std::fs::write(path, text).map_err(Error::io(path))
}

/// Fills `@NAME@` marks; the name of a mark without a value is the error.
fn render(template: &str, values: &[(&str, &str)]) -> Result<String, String> {
    let filled = values.iter().fold(template.to_owned(), |t, (name, value)| {
        t.replace(&format!("@{name}@"), value)
    });
    match filled.split('@').skip(1).step_by(2).find(|word| is_mark(word)) {
        Some(word) => Err(word.to_owned()),
        None => Ok(filled),
    }
}

fn is_mark(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_filled_and_an_unknown_one_is_named() {
        assert_eq!(render("a @X@ b", &[("X", "1")]).as_deref(), Ok("a 1 b"));
        assert_eq!(render("a @Y@ b", &[("X", "1")]), Err("Y".to_owned()));
    }

    #[test]
    fn every_file_renders_and_parses() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            state: dir.path().into(),
            cache: dir.path().into(),
        };
        let bin = std::path::PathBuf::from("/bin");
        let binaries = Binaries {
            control_plane: bin.clone(),
            node: bin.clone(),
            dns: bin,
        };
        write_all(&layout, &binaries).unwrap();
        let read = |name: &str| std::fs::read_to_string(layout.conf().join(name)).unwrap();
        let kubelet: serde_json::Value = serde_yaml_ng::from_str(&read("kubelet.yaml")).unwrap();
        assert_eq!(kubelet["clusterDNS"][0], NODE_IP);
        assert_eq!(kubelet["cgroupRoot"], format!("/{}", layout.cgroup()));
        let cni: serde_json::Value = serde_json::from_str(&read("cni/10-kidp.conflist")).unwrap();
        assert_eq!(cni["plugins"][0]["bridge"], POD_BRIDGE);
        assert!(
            !read("Corefile").contains("forward ."),
            "names must not be asked outside the machine"
        );
    }
}

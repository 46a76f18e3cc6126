//! What `up` changes on the machine outside of its folders — an interface, a route, kernel settings, mount
//! propagation — and the record by which `down` puts it back.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, NODE_BRIDGE, NODE_IP, POD_BRIDGE, SERVICE_CIDR, firewall, mounts};
use crate::paths::Layout;
use crate::process::Cmd;

/// Settings that `up`, the kubelet, kube-proxy or a CNI plugin may change.
const SYSCTLS: [&str; 11] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/default/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders that components make at fixed places of the machine.
const FIXED_FOLDERS: [&str; 9] = [
    "/run/containerd",
    "/run/netns",
    "/run/nri",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
];

/// The machine before `up`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    sysctls: BTreeMap<String, String>,
    private_mounts: Vec<PathBuf>,
    absent_folders: Vec<PathBuf>,
}

impl HostRecord {
    fn take() -> Self {
        let sysctls = SYSCTLS
            .iter()
            .filter_map(|name| Some((name.to_string(), std::fs::read_to_string(sysctl_path(name)).ok()?)))
            .collect();
        let private_mounts = mounts::table()
            .into_iter()
            .filter(|m| !m.shared)
            .map(|m| m.point)
            .collect();
        let absent = FIXED_FOLDERS
            .iter()
            .map(PathBuf::from)
            .filter(|folder| !folder.exists());
        Self {
            sysctls,
            private_mounts,
            absent_folders: absent.collect(),
        }
    }

    /// The record of a cluster that is, or was, up.
    pub fn read(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(layout.host_record()).ok()?).ok()
    }
}

fn sysctl_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// Records the machine, then makes the changes that the cluster needs.
pub async fn prepare(layout: &Layout) -> Result<(), Error> {
    let record = HostRecord::take();
    let path = layout.host_record();
    let json = serde_json::to_vec_pretty(&record).map_err(|e| Error::Record {
        path: path.clone(),
        reason: e.to_string(),
    })?;
    std::fs::write(&path, json).map_err(Error::io(&path))?;
    mounts::share_all().map_err(Error::io(Path::new("/")))?;
    for (name, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
    ] {
        let path = sysctl_path(name);
        std::fs::write(&path, value).map_err(Error::io(&path))?;
    }
    let node_address = format!("{NODE_IP}/32");
    for args in [
        vec!["link", "add", NODE_BRIDGE, "type", "bridge"],
        vec!["address", "add", &node_address, "dev", NODE_BRIDGE],
        vec!["link", "set", NODE_BRIDGE, "up"],
        // Keeps service addresses from leaving the machine before kube-proxy rewrites them.
        vec!["route", "replace", SERVICE_CIDR, "dev", NODE_BRIDGE],
    ] {
        Cmd::new("ip").args(args).output().await?;
    }
    make_cgroups(layout)?;
    firewall::keep_pods_inside().await
}

/// Removes interfaces and control groups, and puts settings and mount propagation back.
pub async fn restore(layout: &Layout) {
    for link in [POD_BRIDGE, NODE_BRIDGE] {
        for port in bridge_ports(link).await {
            let _ = Cmd::new("ip").args(["link", "delete", &port]).output().await;
        }
        if link_exists(link) {
            let _ = Cmd::new("ip").args(["link", "delete", link]).output().await;
        }
    }
    for root in cgroup_roots(layout) {
        remove_cgroup(&root);
    }
    let Some(record) = HostRecord::read(layout) else {
        return;
    };
    for (name, value) in &record.sysctls {
        let path = sysctl_path(name);
        if std::fs::read_to_string(&path).is_ok_and(|now| now != *value) {
            let _ = std::fs::write(path, value.trim());
        }
    }
    mounts::make_private(&record.private_mounts);
    for folder in &record.absent_folders {
        mounts::unmount_under(folder);
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Whether a network interface exists in this process's network namespace (which `/sys` may not show).
pub fn link_exists(name: &str) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    table
        .lines()
        .any(|line| line.split_once(':').is_some_and(|(link, _)| link.trim() == name))
}

async fn bridge_ports(bridge: &str) -> Vec<String> {
    let list = Cmd::new("ip")
        .args(["-o", "link", "show", "master", bridge])
        .output()
        .await;
    list.unwrap_or_default()
        .lines()
        .filter_map(port_name)
        .map(str::to_owned)
        .collect()
}

/// `5: veth1a2b@if2: <...` is `veth1a2b`.
fn port_name(line: &str) -> Option<&str> {
    line.split(": ").nth(1)?.split('@').next()
}

/// The cluster's control groups: one a controller with cgroup v1, one alone with v2.
pub fn cgroup_roots(layout: &Layout) -> Vec<PathBuf> {
    hierarchies()
        .into_iter()
        .map(|h| h.join(layout.cgroup()))
        .filter(|path| path.is_dir())
        .collect()
}

fn hierarchies() -> Vec<PathBuf> {
    let base = Path::new("/sys/fs/cgroup");
    if base.join("cgroup.controllers").exists() {
        return vec![base.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(base) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|p| p.is_dir() && !p.is_symlink())
        .collect()
}

fn make_cgroups(layout: &Layout) -> Result<(), Error> {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(layout.cgroup());
        std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
        if hierarchy.join("cgroup.controllers").exists() {
            delegate(&hierarchy)?;
        } else if hierarchy.join("cpuset.cpus").exists() {
            // A new v1 cpuset is empty, and an empty one takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = std::fs::read_to_string(hierarchy.join(file)).map_err(Error::io(&hierarchy))?;
                std::fs::write(path.join(file), value.trim()).map_err(Error::io(&path))?;
            }
        }
    }
    Ok(())
}

/// Lets groups below the root of cgroup v2 limit what the kubelet limits.
fn delegate(root: &Path) -> Result<(), Error> {
    let offered = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let control = root.join("cgroup.subtree_control");
    for controller in offered.split_whitespace() {
        if ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"].contains(&controller) {
            std::fs::write(&control, format!("+{controller}")).map_err(Error::io(&control))?;
        }
    }
    Ok(())
}

/// Processes in a control group and the groups below it.
pub fn cgroup_processes(root: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for child in children(root) {
        pids.extend(cgroup_processes(&child));
    }
    pids
}

/// Processes of the pod with this UID.
pub fn pod_processes(layout: &Layout, uid: &str) -> Vec<i32> {
    let roots = cgroup_roots(layout);
    let groups = roots.iter().find_map(|root| group_of(root, uid));
    groups.map(|group| cgroup_processes(&group)).unwrap_or_default()
}

/// The group that is named after a pod's UID.
fn group_of(root: &Path, uid: &str) -> Option<PathBuf> {
    children(root).into_iter().find_map(|child| {
        let name = child.file_name().unwrap_or_default().to_string_lossy();
        let found = name.replace('_', "-").contains(&format!("pod{uid}"));
        if found { Some(child) } else { group_of(&child, uid) }
    })
}

fn remove_cgroup(root: &Path) {
    for child in children(root) {
        remove_cgroup(&child);
    }
    let _ = std::fs::remove_dir(root);
}

fn children(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_named() {
        assert_eq!(
            port_name("5: veth1a2b@if2: <BROADCAST> mtu 1500 master kidp-cni0"),
            Some("veth1a2b")
        );
        assert!(link_exists("lo") && !link_exists("l"));
    }

    #[test]
    fn the_record_survives_being_written() {
        let record = HostRecord::take();
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<HostRecord>(&json).unwrap(), record);
        assert!(record.sysctls.contains_key("net/ipv4/ip_forward"));
    }
}

//! Takes the cluster down: stops what was started, in an order in which nothing starts anything again, then removes
//! what is left on the machine. It works from whatever state it finds, and doing it twice is harmless.
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::components::SUPERVISOR;
use super::{Error, NODE_BRIDGE, POD_BRIDGE, daemon, firewall, host, mounts};
use crate::paths::Layout;

/// The supervisor first, so that nothing comes back, then the kubelet, so that no pod does; the API server and the store
/// last.
const ORDER: [&str; 10] = [
    SUPERVISOR,
    "kubelet",
    "kube-proxy",
    "coredns",
    "storage-provisioner",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
    "containerd",
];

/// Stops and removes everything but the logs.
pub async fn run(layout: &Layout) -> Result<(), Error> {
    stop_components(layout).await;
    stop_pods(layout).await;
    mounts::unmount_under(&layout.state);
    firewall::clean().await?;
    host::restore(layout).await;
    remove_state(layout)?;
    let left = leftovers(layout).await;
    if left.is_empty() {
        Ok(())
    } else {
        Err(Error::Leftovers(left.join(", ")))
    }
}

async fn stop_components(layout: &Layout) {
    let records = daemon::records(layout);
    for name in ORDER {
        if let Some(record) = records.iter().find(|r| r.daemon.name == name) {
            daemon::stop(record, Duration::from_secs(5)).await;
        }
    }
}

/// Kills the shims of our containerd and everything in our control groups. A shim adopts what its containers leave
/// behind, so that the tree below it is the whole of a pod.
async fn stop_pods(layout: &Layout) {
    for _ in 0..50 {
        let pids = pod_processes(layout);
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            daemon::signal_pid(pid, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Live processes of pods: shims with our socket, their descendants, members of our control groups.
fn pod_processes(layout: &Layout) -> BTreeSet<i32> {
    let mut found: BTreeSet<i32> = host::cgroup_roots(layout)
        .iter()
        .flat_map(|g| host::cgroup_processes(g))
        .collect();
    let all = processes();
    let socket = layout.containerd_socket().display().to_string();
    found.extend(
        all.iter()
            .map(|(pid, _)| *pid)
            .filter(|pid| is_shim(&command_line(*pid), &socket)),
    );
    loop {
        let children: Vec<i32> = all
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    found.retain(|pid| daemon::read_stat(*pid).is_some_and(|stat| stat.state != 'Z'));
    found
}

/// Every process with its parent.
fn processes() -> Vec<(i32, i32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, daemon::read_stat(pid)?.parent)))
        .collect()
}

fn command_line(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// A containerd shim that talks to our socket, and to no other containerd.
fn is_shim(words: &[String], socket: &str) -> bool {
    let program = words.first().and_then(|w| Path::new(w).file_name()?.to_str());
    let ours = words
        .windows(2)
        .any(|pair| pair[0].ends_with("-address") && pair[1] == socket);
    program == Some("containerd-shim-runc-v2") && ours
}

/// Removes the state folder's contents but the logs, once nothing is mounted in there.
fn remove_state(layout: &Layout) -> Result<(), Error> {
    if !mounts::under(&layout.state).is_empty() {
        // Removing files through a mount could reach files that are not ours.
        return Ok(());
    }
    let Ok(entries) = std::fs::read_dir(&layout.state) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path == layout.logs() {
            continue;
        }
        let gone = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        gone.map_err(Error::io(&path))?;
    }
    Ok(())
}

/// What of a cluster is on the machine: processes, mounts, interfaces, chains, control groups, files.
/// Empty when nothing is.
pub async fn leftovers(layout: &Layout) -> Vec<String> {
    let mut left = Vec::new();
    let records = daemon::records(layout);
    left.extend(
        records
            .iter()
            .filter(|r| daemon::alive(r))
            .map(|r| format!("process {} ({})", r.pid, r.daemon.name)),
    );
    left.extend(
        pod_processes(layout)
            .iter()
            .map(|pid| format!("pod process {pid}")),
    );
    left.extend(
        mounts::under(&layout.state)
            .iter()
            .map(|p| format!("mount {}", p.display())),
    );
    let links = [NODE_BRIDGE, POD_BRIDGE]
        .into_iter()
        .filter(|link| host::link_exists(link));
    left.extend(links.map(|link| format!("interface {link}")));
    left.extend(
        firewall::chains()
            .await
            .into_iter()
            .map(|chain| format!("chain {chain}")),
    );
    left.extend(
        host::cgroup_roots(layout)
            .iter()
            .map(|p| format!("control group {}", p.display())),
    );
    if layout.host_record().exists() {
        left.push(format!("file {}", layout.host_record().display()));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shims_of_our_socket_are_ours() {
        let words = |socket: &str| {
            [
                "/c/containerd-shim-runc-v2",
                "-namespace",
                "k8s.io",
                "-address",
                socket,
            ]
            .map(String::from)
        };
        assert!(is_shim(&words("/s/c.sock"), "/s/c.sock"));
        assert!(!is_shim(&words("/run/containerd/containerd.sock"), "/s/c.sock"));
        assert!(!is_shim(
            &["vi".into(), "-address".into(), "/s/c.sock".into()],
            "/s/c.sock"
        ));
    }

    #[test]
    fn own_process_is_in_the_table() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(processes().iter().any(|(pid, _)| *pid == own));
        assert!(!command_line(own).is_empty());
    }

    #[test]
    fn the_logs_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            state: dir.path().into(),
            cache: dir.path().into(),
        };
        std::fs::create_dir_all(layout.logs()).unwrap();
        std::fs::create_dir_all(layout.pki()).unwrap();
        remove_state(&layout).unwrap();
        assert!(layout.logs().exists() && !layout.pki().exists());
    }
}

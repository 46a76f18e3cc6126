//! Brings the cluster up, from nothing or from whatever a crash left: a cluster that is not healthy is taken down
//! first, so that nothing is ever half-broken.
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use kube::Client;

use super::binaries::{self, Binaries, CONTROL_PLANE, DNS, NODE};
use super::components::API_SERVER;
use super::daemon::Daemon;
use super::pki::{IDENTITIES, Pki, write};
use super::{Error, cleanup, components, config, daemon, host, kubeconfig, packages, preflight, wait};
use crate::images;
use crate::paths::{Layout, checkout};
use crate::process::Cmd;
use crate::progress::Progress;

/// How many are started.
const COMPONENTS: usize = 10;
const COMPONENT_DEADLINE: Duration = Duration::from_mins(1);

/// Whether a cluster is up and every part of it answers.
pub async fn healthy(layout: &Layout) -> bool {
    let records = daemon::records(layout);
    if records.len() != COMPONENTS || !records.iter().all(daemon::alive) {
        return false;
    }
    let Ok(client) = wait::client(&layout.kubeconfig()).await else {
        return false;
    };
    let checks = async { wait::api_ready(&client).await && wait::node_ready(&client).await };
    let api = tokio::time::timeout(Duration::from_secs(10), checks).await;
    api == Ok(true) && wait::http_ok("127.0.0.1:8186", "/ready").await
}

/// Installs, builds and starts everything. The caller holds the lock.
pub async fn run(layout: &Layout, progress: &Progress) -> Result<(), Error> {
    let missing = packages::missing().await;
    if !missing.is_empty() {
        let name = format!("installing {}", missing.join(" "));
        progress.step(&name, packages::install(&missing)).await?;
    }
    let bin = build(layout, progress).await?;
    let archives = images::build_default(layout, progress).await?;
    progress
        .step("removing what an earlier cluster left", cleanup::run(layout))
        .await?;
    progress
        .step("checking ports, addresses and storage", async {
            preflight::check_network()?;
            preflight::check_storage(layout)
        })
        .await?;
    let started = Box::pin(start(layout, &bin, &archives, progress)).await;
    if started.is_err() {
        progress.note("taking down what was started; the logs stay");
        cleanup::run(layout).await?;
    }
    started
}

async fn build(layout: &Layout, progress: &Progress) -> Result<Binaries, Error> {
    let mut bin = Binaries::locate(layout)?;
    if !bin.built() {
        bin.node = progress
            .step(
                "building containerd, runc and etcd",
                binaries::build(layout, NODE),
            )
            .await?;
        bin.control_plane = progress
            .step(
                "building Kubernetes (minutes)",
                binaries::build(layout, CONTROL_PLANE),
            )
            .await?;
        bin.dns = progress
            .step("building CoreDNS", binaries::build(layout, DNS))
            .await?;
    }
    Ok(bin)
}

async fn start(
    layout: &Layout,
    bin: &Binaries,
    archives: &[images::Archive],
    progress: &Progress,
) -> Result<(), Error> {
    progress
        .step("certificates and configuration", async {
            write_files(layout, bin)
        })
        .await?;
    progress
        .step("network, control groups and mounts", host::prepare(layout))
        .await?;
    let client = wait::client(&layout.kubeconfig()).await?;
    let control_plane = start_control_plane(layout, bin, &client);
    let runtime = start_runtime(layout, bin, archives);
    let both = async { tokio::try_join!(control_plane, runtime) };
    progress
        .step("control plane and container runtime", Box::pin(both))
        .await?;
    progress.step("node", start_node(layout, bin, &client)).await?;
    run_daemon(layout, bin, &components::supervisor(layout))?;
    let ready = async {
        let (dns, api) = ("CoreDNS", "the default service account");
        wait::until(layout, dns, COMPONENT_DEADLINE, || {
            wait::http_ok("127.0.0.1:8186", "/ready")
        })
        .await?;
        wait::until(layout, api, COMPONENT_DEADLINE, || wait::default_account(&client)).await
    };
    progress.step("names and service accounts", ready).await
}

async fn start_control_plane(layout: &Layout, bin: &Binaries, client: &Client) -> Result<(), Error> {
    run_daemon(layout, bin, &components::etcd(layout, bin))?;
    run_daemon(layout, bin, &components::apiserver(layout, bin))?;
    wait::until(layout, "the API server", COMPONENT_DEADLINE, || {
        wait::api_ready(client)
    })
    .await?;
    run_daemon(layout, bin, &components::controller_manager(layout, bin))?;
    run_daemon(layout, bin, &components::scheduler(layout, bin))?;
    Cmd::new(bin.control_plane.join("kubectl"))
        .arg(format!("--kubeconfig={}", layout.kubeconfig().display()))
        .args(["apply", "--server-side", "--field-manager=kidp-devcluster", "-f"])
        .arg(checkout().join("devcluster/manifests/bootstrap.yaml"))
        .output()
        .await?;
    Ok(())
}

async fn start_runtime(layout: &Layout, bin: &Binaries, archives: &[images::Archive]) -> Result<(), Error> {
    run_daemon(layout, bin, &components::containerd(layout, bin))?;
    let version = || {
        let socket = layout.containerd_socket();
        Cmd::new(bin.node.join("ctr"))
            .arg("-a")
            .arg(socket)
            .arg("version")
            .succeeds()
    };
    wait::until(layout, "containerd", COMPONENT_DEADLINE, version).await?;
    for archive in archives {
        images::import_with(&bin.node.join("ctr"), layout, &archive.path).await?;
    }
    Ok(())
}

async fn start_node(layout: &Layout, bin: &Binaries, client: &Client) -> Result<(), Error> {
    for daemon in [
        components::kubelet(layout, bin),
        components::kube_proxy(layout, bin),
        components::coredns(layout, bin),
        components::storage_provisioner(layout),
    ] {
        run_daemon(layout, bin, &daemon)?;
    }
    wait::until(layout, "the node", COMPONENT_DEADLINE, || {
        wait::node_ready(client)
    })
    .await?;
    for (what, address) in [
        ("the kubelet", "127.0.0.1:10248"),
        ("kube-proxy", "127.0.0.1:10256"),
    ] {
        wait::until(layout, what, COMPONENT_DEADLINE, || {
            wait::http_ok(address, "/healthz")
        })
        .await?;
    }
    Ok(())
}

pub(super) fn run_daemon(layout: &Layout, bin: &Binaries, daemon: &Daemon) -> Result<(), Error> {
    let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let path = format!("{}:{}:{system}", bin.node.display(), bin.control_plane.display());
    daemon::spawn(layout, &path, daemon).map(|_| ())
}

fn write_files(layout: &Layout, bin: &Binaries) -> Result<(), Error> {
    // The logs of the cluster before this one go only now, so that they can be read after a `down`.
    let _ = std::fs::remove_dir_all(layout.logs());
    let folders = [
        layout.logs(),
        layout.pki(),
        layout.pids(),
        layout.conf(),
        layout.volumes(),
    ];
    for folder in folders.iter().chain([&layout.state.join("bin")]) {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    config::write_all(layout, bin)?;
    let pki = Pki::create(layout)?;
    for identity in IDENTITIES {
        let text = kubeconfig::render(
            API_SERVER,
            &pki.ca_pem(),
            identity.component,
            &pki.client(&identity)?,
        );
        let path = match identity.component {
            "admin" => layout.kubeconfig(),
            other => layout.component_kubeconfig(other),
        };
        write(&path, &text)?;
    }
    copy_self(&layout.state.join("bin/xtask"))
}

/// The storage provisioner runs from a copy, so that this program can be built again meanwhile.
fn copy_self(target: &Path) -> Result<(), Error> {
    let own = super::xtask_binary()?;
    std::fs::copy(&own, target).map_err(Error::io(&own))?;
    std::fs::set_permissions(target, std::fs::Permissions::from_mode(0o755)).map_err(Error::io(target))
}

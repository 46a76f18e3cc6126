//! `cargo xtask test`: every check and test there is, in the order in which a failure is cheapest to see.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::devcluster::{self, ClusterHandle};
use crate::images;
use crate::paths::{Layout, checkout};
use crate::platform::{self, Profile};
use crate::process::Cmd;
use crate::progress::Progress;

/// Version of cargo-deny that is installed when there is none.
const CARGO_DENY: &str = "0.20.2";
const LIMIT: Duration = Duration::from_hours(1);

/// Images of the engines beside the devcluster's default ones.
const ENGINE_IMAGES: [&str; 6] = [
    "postgres-17",
    "mysql-9",
    "mongo-7",
    "redis-7",
    "redis-8",
    "rabbitmq-4",
];

/// Features with the tests that need a cluster, so that clippy sees them too.
const CLUSTER_FEATURES: &str = "kidp-e2e/cluster,kidp-provisioners/cluster";

/// Why the run ended early.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A step failed; its output is above.
    #[error("{step} failed ({status}); its output is above")]
    Step {
        /// The step.
        step: String,
        /// How its program ended.
        status: String,
    },
    /// A program could not be started or did not end.
    #[error("{step}: {reason}")]
    Run {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// The cluster did not come up.
    #[error(transparent)]
    Cluster(#[from] devcluster::Error),
    /// Operator and broker could not be made ready.
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    /// An engine's image could not be made.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// A tool could not be installed.
    #[error(transparent)]
    Tool(#[from] crate::process::ProcessError),
}

/// A cargo command with its output shown as it comes.
async fn cargo(step: &str, arguments: &[&str], env: &[(&str, &std::ffi::OsStr)]) -> Result<(), CheckError> {
    let began = Instant::now();
    eprintln!("=== {step}: cargo {}", arguments.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(checkout())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command.envs(env.iter().copied());
    let run = |reason: String| CheckError::Run {
        step: step.to_owned(),
        reason,
    };
    let mut child = command.spawn().map_err(|e| run(e.to_string()))?;
    let waited = tokio::time::timeout(LIMIT, child.wait()).await;
    let status = waited
        .map_err(|_| run("did not end".into()))?
        .map_err(|e| run(e.to_string()))?;
    eprintln!("=== {step}: {status} after {:.1}s", began.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(CheckError::Step {
            step: step.to_owned(),
            status: status.to_string(),
        })
    }
}

/// Installs cargo-deny into the cache if it is not there.
async fn cargo_deny(progress: &Progress) -> Result<std::path::PathBuf, CheckError> {
    let root = Layout::from_env()
        .cache
        .join("tools")
        .join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        let install = Cmd::new("cargo")
            .args([
                "install",
                "cargo-deny",
                "--version",
                CARGO_DENY,
                "--locked",
                "--no-default-features",
            ])
            .args(["--profile", "dev", "--root"])
            .arg(&root)
            .timeout(LIMIT);
        progress.step("installing cargo-deny", install.output()).await?;
    }
    Ok(program)
}

/// Runs everything. With `offline_only`, what needs no cluster.
pub async fn run(offline_only: bool) -> Result<(), CheckError> {
    let progress = Progress::default();
    cargo("format", &["fmt", "--all", "--check"], &[]).await?;
    let lint = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--features",
        CLUSTER_FEATURES,
        "--",
        "-D",
        "warnings",
    ];
    cargo("lint", &lint, &[]).await?;
    // The licences of crates for other platforms count too, and a build does not bring those here.
    cargo("crates of every platform", &["fetch", "--locked"], &[]).await?;
    let deny = cargo_deny(&progress).await?;
    // Advisories need a database from outside the package registries: `cargo deny check advisories` by hand.
    let rules = Cmd::new(deny)
        .args(["--locked", "--offline", "check", "bans", "licenses", "sources"])
        .dir(checkout());
    progress
        .step("licences, sources and duplicates", rules.output())
        .await?;
    cargo(
        "unit, snapshot and doc tests",
        &["test", "--locked", "--workspace"],
        &[],
    )
    .await?;
    if offline_only {
        return Ok(());
    }
    let cluster = Box::pin(devcluster::ensure()).await?;
    let outcome = on_cluster(&cluster, &progress).await;
    let released = cluster.release().await;
    outcome?;
    released?;
    progress.note("all checks passed");
    Ok(())
}

async fn on_cluster(cluster: &ClusterHandle, progress: &Progress) -> Result<(), CheckError> {
    platform::load(cluster, Profile::Dev, progress).await?;
    let binaries = platform::binaries(Profile::Dev);
    let env = [
        ("KUBECONFIG", cluster.kubeconfig().as_os_str()),
        ("KIDP_BIN_DIR", binaries.as_os_str()),
    ];
    if cluster.is_devcluster() {
        // A cluster of somebody else's pulls the official images by itself.
        images::provide(&Layout::from_env(), &ENGINE_IMAGES, progress).await?;
    }
    let sdk = "test --locked -p kidp-provisioners --features cluster --tests -- --test-threads=2";
    cargo(
        "the SDK on the cluster",
        &sdk.split(' ').collect::<Vec<_>>(),
        &env,
    )
    .await?;
    for name in ["cel", "engines", "host", "pods"] {
        if name == "pods" && !cluster.is_devcluster() {
            progress.note(
                "pods: the images of this checkout cannot be put on a cluster that is not the devcluster",
            );
            continue;
        }
        let test = [
            "test",
            "--locked",
            "-p",
            "kidp-e2e",
            "--features",
            "cluster",
            "--test",
            name,
            "--",
        ];
        let test = [&test[..], &["--test-threads=4", "--nocapture"]].concat();
        cargo(&format!("end to end: {name}"), &test, &env).await?;
    }
    Ok(())
}

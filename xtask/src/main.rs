//! `cargo xtask`: the developer's commands. One subcommand a module of the library; this file only parses and prints.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::paths::Layout;
use xtask::progress::Progress;
use xtask::{checks, crdgen, demo, devcluster, images, perf, scan};

/// Developer commands of KIDP.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job on a real cluster: from a `Database` object to an SQL answer to a clean deletion.
    Demo(demo::Options),
    /// Every check and test there is.
    Test {
        /// Only what needs no cluster.
        #[arg(long)]
        offline: bool,
    },
    /// Measures what KIDP adds to applying the same objects by hand.
    Perf(perf::Options),
    /// Static scanners over everything that the SDK renders; needs Python for them.
    Scan,
    /// Writes `deploy/crds/` from the Rust types.
    Crdgen,
    /// A real one-node Kubernetes on this machine.
    Devcluster {
        #[command(subcommand)]
        action: Devcluster,
    },
    /// Builds the container images that stand in for the official ones, and imports them if the cluster is up.
    Images {
        /// Only these (folders' names in `devcluster/images`).
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Answers claims of the class `kidp-dev`; started by `devcluster up`.
    #[command(hide = true)]
    StorageProvisioner {
        /// Whom to ask.
        #[arg(long)]
        kubeconfig: PathBuf,
        /// Where volumes go.
        #[arg(long)]
        volumes: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Devcluster {
    /// Installs, builds and starts it; does nothing when it is up.
    Up {
        /// Do not ask before installing and changing things.
        #[arg(long, short)]
        yes: bool,
    },
    /// Stops it and puts the machine back.
    Down,
    /// Says whether it is up, and what of it is on this machine.
    Status,
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = run(Cli::parse().command).await;
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Outcome {
    let layout = Layout::from_env();
    match command {
        Command::Demo(options) => {
            Box::pin(demo::run(&options)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { offline } => {
            checks::run(offline).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Perf(options) => {
            Box::pin(perf::run(&options)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Scan => {
            scan::run().await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Crdgen => {
            crdgen::write()?
                .iter()
                .for_each(|path| println!("{}", path.display()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Devcluster {
            action: Devcluster::Up { yes },
        } => up(&layout, yes).await,
        Command::Devcluster {
            action: Devcluster::Down,
        } => {
            devcluster::down(&layout).await?;
            println!(
                "down; nothing of the cluster is left but its logs in {}",
                layout.logs().display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Devcluster {
            action: Devcluster::Status,
        } => Ok(status(&layout).await),
        Command::Images { only } => build_images(&layout, &only).await,
        Command::StorageProvisioner { kubeconfig, volumes } => {
            tracing_subscriber::fmt().with_ansi(false).init();
            devcluster::storage::run(&kubeconfig, volumes).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn up(layout: &Layout, yes: bool) -> Outcome {
    let started = devcluster::up(layout, yes).await?;
    println!("{}", if started { "up" } else { "already up" });
    println!("export KUBECONFIG={}", layout.kubeconfig().display());
    println!("kubectl is {}", devcluster::kubectl(layout)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Success when the cluster is up and healthy, or down without traces.
async fn status(layout: &Layout) -> ExitCode {
    let status = devcluster::status(layout).await;
    for (name, pid, alive) in &status.components {
        println!(
            "{name:<26} pid {pid:<8} {}",
            if *alive { "running" } else { "DEAD" }
        );
    }
    if status.healthy {
        println!(
            "up and healthy; export KUBECONFIG={}",
            layout.kubeconfig().display()
        );
        return ExitCode::SUCCESS;
    }
    if status.traces.is_empty() {
        println!("down; left on this machine: processes, mounts, interfaces, chains, control groups: none");
        return ExitCode::SUCCESS;
    }
    println!("not healthy, and on this machine there are:");
    status.traces.iter().for_each(|trace| println!("  {trace}"));
    println!(
        "`cargo xtask devcluster up` replaces it, `down` removes it; logs in {}",
        layout.logs().display()
    );
    ExitCode::FAILURE
}

async fn build_images(layout: &Layout, only: &[String]) -> Outcome {
    let progress = Progress::default();
    let mut archives = Vec::new();
    for name in only {
        archives.push(images::build_named(layout, name, &progress).await?);
    }
    if only.is_empty() {
        archives = images::build_all(layout, &progress).await?;
    }
    let up = layout.containerd_socket().exists();
    for archive in archives {
        if up {
            progress
                .step(
                    &format!("importing {}", archive.name),
                    images::import(&archive.path),
                )
                .await?;
        }
        println!("{} {}", archive.name, archive.path.display());
    }
    Ok(ExitCode::SUCCESS)
}

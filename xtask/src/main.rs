//! `cargo xtask`: the developer's commands. One subcommand a module of the library; this file only runs and prints.
use std::process::ExitCode;

use clap::Parser as _;
use xtask::cli::{Cli, Command, Devcluster};
use xtask::devcluster::addons;
use xtask::paths::Layout;
use xtask::progress::Progress;
use xtask::{
    bench, book, chaos, charts, checks, crdgen, demo, devcluster, diffbench, faults, fuzz, images,
    instructions, load, monitoring, openapi, perf, rendering, rights, scale, scan, schemathesis, semver,
    shipped, soak,
};

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
        Command::Demo(options) => done(Box::pin(demo::run(&options)).await),
        Command::Test { offline } => done(checks::run(offline).await),
        Command::Chaos(options) => done(Box::pin(chaos::run(&options)).await),
        Command::Perf(options) => done(Box::pin(perf::run(&options)).await),
        Command::Load(options) => done(Box::pin(load::run(&options)).await),
        Command::Scale(options) => done(Box::pin(scale::run(&options)).await),
        Command::Soak(options) => done(Box::pin(soak::run(&options)).await),
        Command::Rendering(options) => done(rendering::run(&options).await),
        Command::Bench(options) => done(Box::pin(bench::run(&options)).await),
        Command::Diffbench(options) => done(Box::pin(diffbench::run(&options)).await),
        Command::Instructions(options) => done(instructions::run(&options, &Progress::default()).await),
        Command::Faults(options) => done(faults::run(&options).await),
        Command::Scan => done(scan::run().await),
        Command::Semver => done(semver::run(&Progress::default()).await),
        Command::Fuzz(options) => done(fuzz::run(&options, &Progress::default()).await),
        Command::Monitoring(options) => done(monitoring::run(&options, &Progress::default()).await),
        Command::Crdgen => {
            crdgen::write()?
                .iter()
                .for_each(|path| println!("{}", path.display()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Charts(options) => done(charts::run(&options, &Progress::default()).await),
        Command::Rights => {
            print!("{}", rights::run()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            println!("{}", openapi::write().await?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Book => {
            println!("{}", book::run(&Progress::default()).await?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Schemathesis(options) => done(Box::pin(schemathesis::run(options)).await),
        Command::Devcluster { action } => devcluster(action, &layout).await,
        Command::Images { release: true, .. } => ship_images().await,
        Command::Images { only, .. } => build_images(&layout, &only).await,
        Command::StorageProvisioner { kubeconfig, volumes } => {
            tracing_subscriber::fmt().with_ansi(false).init();
            devcluster::storage::run(&kubeconfig, volumes).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Supervise { state } => {
            tracing_subscriber::fmt().with_ansi(false).init();
            devcluster::supervisor::run(state).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The end of a command that prints by itself what it has to say.
fn done<T, E: std::error::Error + 'static>(outcome: Result<T, E>) -> Outcome {
    outcome?;
    Ok(ExitCode::SUCCESS)
}

async fn devcluster(action: Devcluster, layout: &Layout) -> Outcome {
    match action {
        Devcluster::Up { yes } => up(layout, yes).await,
        Devcluster::Addons { names } => {
            let all = if names.is_empty() {
                addons::ALL.to_vec()
            } else {
                names
            };
            addons::install(layout, &all, &Progress::default()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Devcluster::Down => {
            devcluster::down(layout).await?;
            println!(
                "down; nothing of the cluster is left but its logs in {}",
                layout.logs().display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Devcluster::Status => Ok(status(layout).await),
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

async fn ship_images() -> Outcome {
    for image in shipped::run(&Progress::default()).await? {
        println!("{}", image.line());
    }
    Ok(ExitCode::SUCCESS)
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

//! What the command line of `cargo xtask` takes; a test holds the documents to it.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::devcluster::addons::Addon;
use crate::{
    bench, chaos, charts, demo, diffbench, faults, fuzz, instructions, load, monitoring, perf, rendering,
    scale, schemathesis, soak,
};

/// Developer commands of KIDP.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
}

/// The commands, one a module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job on a real cluster: from a `Database` object to an SQL answer to a clean deletion.
    Demo(demo::Options),
    /// Every check and test there is.
    Test {
        /// Only what needs no cluster.
        #[arg(long)]
        offline: bool,
    },
    /// Kills and cuts off parts of a running platform while a database is provisioned, resized and deleted.
    Chaos(chaos::Options),
    /// Measures what KIDP adds to applying the same objects by hand.
    Perf(perf::Options),
    /// Measures the broker's accept path against a Go twin, and the time from a callback to a status.
    Load(load::Options),
    /// Measures many databases at once against a Go controller, and against the same writes alone; needs Go.
    Scale(scale::Options),
    /// Makes, resizes, changes and deletes databases at random for an hour, with crashes; needs Go.
    Soak(soak::Options),
    /// Measures rendering against helm and kustomize; needs npm and Python for them.
    Rendering(rendering::Options),
    /// Makes all measurements but `soak`, one after the other, and a table of what they come to beside their goals.
    Bench(bench::Options),
    /// Measures the comparison of desired and live objects against a Go twin on structured-merge-diff.
    Diffbench(diffbench::Options),
    /// Counts the instructions of the hot pure functions with callgrind, and compares them with those in the documents.
    Instructions(instructions::Options),
    /// Runs operator and broker against a model of their clusters, with a fault at every request.
    Faults(faults::Options),
    /// Static scanners over everything that the SDK renders; needs Python for them.
    Scan,
    /// Compares the libraries' public interfaces with those of the last version.
    Semver,
    /// Feeds the parsers and the verifier inputs that nobody thought of, for a short while.
    Fuzz(fuzz::Options),
    /// Holds rules, alerts and dashboards to promtool and to the metrics that there are; needs Go.
    Monitoring(monitoring::Options),
    /// Writes `deploy/crds/` and their copies in the charts from the Rust types.
    Crdgen,
    /// Compares `deploy/manifests` with what helm renders of the charts; builds helm.
    Charts(charts::Options),
    /// Which rights of operator and broker were used, and what was refused, by the devcluster's audit log.
    Rights,
    /// Writes `docs/openapi.json` from the broker's routes.
    Openapi,
    /// Writes the reference in `docs/reference/`, and builds the documents into a book.
    Book,
    /// Asks a broker in front of the cluster of KUBECONFIG what schemathesis makes up; needs Python for it.
    Schemathesis(schemathesis::Options),
    /// A real one-node Kubernetes on this machine.
    Devcluster {
        /// What to do with it.
        #[command(subcommand)]
        action: Devcluster,
    },
    /// Builds the container images that stand in for the official ones, and imports them if the cluster is up.
    Images {
        /// Only these (folders' names in `devcluster/images`).
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Operator and broker instead, compiled for release and held to a size, into `target/images`.
        #[arg(long, conflicts_with = "only")]
        release: bool,
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
    /// Starts components of the cluster again that ended; started by `devcluster up`.
    #[command(hide = true)]
    Supervise {
        /// The cluster's state folder.
        #[arg(long)]
        state: PathBuf,
    },
}

/// What to do with the devcluster.
#[derive(Debug, Subcommand)]
pub enum Devcluster {
    /// Installs, builds and starts it; does nothing when it is up.
    Up {
        /// Do not ask before installing and changing things.
        #[arg(long, short)]
        yes: bool,
    },
    /// Installs cert-manager and CloudNativePG into it, or only those that are named; builds what is not cached.
    Addons {
        /// Which; all without a name.
        #[arg(value_enum)]
        names: Vec<Addon>,
    },
    /// Stops it and puts the machine back.
    Down,
    /// Says whether it is up, and what of it is on this machine.
    Status,
}

/// The whole of it, to be asked whether a command line is one.
pub fn command() -> clap::Command {
    Cli::command()
}

//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kidp_core::instance::DeletionPolicy;
use kidp_core::size::Size;

use crate::create;
use crate::kinds::Reference;
use crate::output::{Color, Format};
use crate::validate::Feature;

/// What exit codes mean, for the help.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and as it should be
  1  looked at, and not as it should be: not ready, not valid, refused, different
  2  wrong arguments
  3  could not be done: no such object, no answer, not allowed, a file that cannot be read
  4  what was waited for did not come in time";

/// Databases, caches and message queues of KIDP: make them, see what they are made of, and why they are not ready.
#[derive(Debug, Parser)]
#[command(name = "kubectl-kidp", bin_name = "kubectl kidp", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Path of the kubeconfig; KUBECONFIG or ~/.kube/config without it
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the management cluster
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Context of the target cluster, where that is another one
    #[arg(long, global = true, value_name = "NAME")]
    pub target_context: Option<String>,
    /// Namespace; that of the context without it
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// How the answer is written
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// When colours are used
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Longest wait for one answer, such as 10s
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what a resource is made of, down to its pods, and why it is not ready
    Status {
        /// The resource, such as database/orders
        #[arg(value_name = "KIND/NAME")]
        resource: Reference,
    },
    /// Make a database, cache or message queue
    Create(Box<CreateArgs>),
    /// Wait until a resource is ready, and tell what it waits for
    Wait {
        /// The resource, such as database/orders
        #[arg(value_name = "KIND/NAME")]
        resource: Reference,
        /// Longest wait
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
        timeout: Duration,
    },
    /// Check files without a cluster: schema and rules of the CRDs, unknown fields, what the engine takes
    Validate {
        /// File, folder or - (the standard input); can be given several times
        #[arg(short, long = "filename", value_name = "PATH", required = true)]
        filename: Vec<PathBuf>,
        /// What the target cluster lacks; everything is taken to be there otherwise
        #[arg(long, value_name = "FEATURE")]
        without: Vec<Feature>,
    },
    /// Tell what changed files would change, and what clients would notice; nothing is written
    Plan {
        /// File, folder or - (the standard input); can be given several times
        #[arg(short, long = "filename", value_name = "PATH", required = true)]
        filename: Vec<PathBuf>,
        /// Compare with these files, and ask no cluster
        #[arg(long, value_name = "PATH")]
        against: Vec<PathBuf>,
        /// Ask the target cluster by dry runs, which takes the rights of a broker there
        #[arg(long, conflicts_with = "against")]
        live: bool,
    },
    /// List engines, versions and sizes; with -o tree, parameters too
    Catalog {
        /// What the target cluster lacks; everything is taken to be there otherwise
        #[arg(long, value_name = "FEATURE")]
        without: Vec<Feature>,
    },
    /// Tell what differs between what was applied and what the cluster holds; nothing is written
    Drift {
        /// The resource, such as database/orders
        #[arg(value_name = "KIND/NAME")]
        resource: Reference,
    },
    /// Take over a StatefulSet that is there already; without --apply, only look
    Adopt(Box<AdoptArgs>),
    /// Open a port of this machine that leads to an instance, and run the engine's client on it
    Connect(ConnectArgs),
    /// Tell what the services of files would cost a month
    Estimate(EstimateArgs),
    /// Report what was used and what it cost
    Costs(CostsArgs),
    /// Print a script that completes commands in a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How far `create` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// The object is made.
    None,
    /// The object is shown.
    Client,
    /// The API server judges it, and makes nothing.
    Server,
}

/// What to make.
#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// The resource, such as database/orders
    #[arg(value_name = "KIND/NAME")]
    pub resource: Reference,
    /// Engine; `catalog` lists them
    #[arg(long)]
    pub engine: String,
    /// Version of the engine
    #[arg(long = "engine-version", value_name = "VERSION")]
    pub engine_version: String,
    /// Size: small, medium, large or xlarge
    #[arg(long, default_value = "small", value_parser = create::size)]
    pub size: Size,
    /// Size of the volume, such as 10Gi
    #[arg(long, value_name = "QUANTITY")]
    pub storage: String,
    /// Storage class; the cluster's default without it
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<String>,
    /// Team that owns it
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "application",
        required_unless_present = "application"
    )]
    pub team: Option<String>,
    /// Application that owns it
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
    /// Namespace of the team or application, where it is another one
    #[arg(long, value_name = "NAME")]
    pub owner_namespace: Option<String>,
    /// Several members with failover
    #[arg(long)]
    pub high_availability: bool,
    /// Serve clients over TLS only
    #[arg(long)]
    pub tls: bool,
    /// Parameter of the engine; can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = create::parameter)]
    pub parameter: Vec<(String, String)>,
    /// What becomes of the data at deletion: Delete, Retain or Snapshot
    #[arg(long, value_name = "POLICY", default_value = "Delete", value_parser = create::deletion_policy)]
    pub deletion_policy: DeletionPolicy,
    /// This broker and no other
    #[arg(long, value_name = "NAME")]
    pub broker: Option<String>,
    /// Brokers of this region
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Brokers of this cloud provider
    #[arg(long, value_name = "NAME")]
    pub cloud_provider: Option<String>,
    /// Brokers whose data stays in this jurisdiction
    #[arg(long, value_name = "NAME")]
    pub data_residency: Option<String>,
}

/// How to make it.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// What to make.
    #[command(flatten)]
    pub new: NewArgs,
    /// Show the object, or have it judged, and make nothing
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: DryRun,
    /// Wait until it is ready
    #[arg(long)]
    pub wait: bool,
    /// Longest wait
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub timeout: Duration,
}

/// What to take over.
#[derive(Clone, Debug, Args)]
pub struct AdoptArgs {
    /// What it becomes.
    #[command(flatten)]
    pub new: NewArgs,
    /// The StatefulSet
    #[arg(long, value_name = "NAME")]
    pub stateful_set: String,
    /// The Secret with its password
    #[arg(long, value_name = "NAME")]
    pub secret: String,
    /// Entry of the Secret with the password
    #[arg(long, value_name = "KEY", default_value = "password")]
    pub password_key: String,
    /// Entry of the Secret with the login
    #[arg(long, value_name = "KEY")]
    pub username_key: Option<String>,
    /// Entry of the Secret with the database
    #[arg(long, value_name = "KEY")]
    pub database_key: Option<String>,
    /// Login, where the Secret does not hold it
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Database, where the Secret does not hold it
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Keep its pods as they are, or Replace them; from Replace there is no way back
    #[arg(long, value_name = "HOW", default_value = "Keep", value_parser = ["Keep", "Replace"])]
    pub pod_template: String,
    /// Ask for it
    #[arg(long)]
    pub apply: bool,
    /// Digest of the plan whose restart is accepted
    #[arg(long, value_name = "DIGEST")]
    pub accept_plan: Option<String>,
}

/// What to connect to.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The resource, such as database/orders
    #[arg(value_name = "KIND/NAME")]
    pub resource: Reference,
    /// Port of 127.0.0.1; a free one without it
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub local_port: Option<u16>,
    /// Run the engine's client (psql, mysql, mongosh); the password goes to it in a file
    #[arg(long)]
    pub exec: bool,
    /// More arguments of the client
    #[arg(last = true, requires = "exec")]
    pub arguments: Vec<String>,
}

/// How the operator is reached, and who asks.
#[derive(Clone, Debug, Args)]
pub struct OperatorArgs {
    /// URL of the operator's door for costs; a forwarded port to its Service without it
    #[arg(long, value_name = "URL")]
    pub operator_url: Option<String>,
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "kidp-system")]
    pub operator_namespace: String,
    /// Service account that may read costs; a token of it is asked for
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "token_file")]
    pub service_account: Option<String>,
    /// File with a token for the audience kidp-costs
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
}

/// What to estimate.
#[derive(Clone, Debug, Args)]
pub struct EstimateArgs {
    /// File, folder or - (the standard input); can be given several times
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    pub filename: Vec<PathBuf>,
    /// File with a price book; the operator is asked without it
    #[arg(long, value_name = "PATH")]
    pub price_book: Option<PathBuf>,
    /// Cloud provider that it would be at
    #[arg(long, value_name = "NAME")]
    pub cloud_provider: Option<String>,
    /// Region that it would be in
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// The operator.
    #[command(flatten)]
    pub operator: OperatorArgs,
}

/// What to report.
#[derive(Clone, Debug, Args)]
pub struct CostsArgs {
    /// From this date or time; the month so far without it
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until this date or time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// What is summed up
    #[arg(long, value_name = "WHAT", default_value = "team", value_parser = ["team", "namespace", "tenant", "costCenter", "resource"])]
    pub group_by: String,
    /// As a table for programs: the sums, or every charge with the columns of FOCUS
    #[arg(long, value_name = "WHAT", value_parser = ["csv", "focus"])]
    pub csv: Option<String>,
    /// The operator.
    #[command(flatten)]
    pub operator: OperatorArgs,
}

/// A time as a number and `s`, `m` or `h`; seconds without a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    const LIMIT: u64 = 24 * 3600;
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("must be a number and s, m or h, such as 10s".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "must be a number and s, m or h, such as 10s".to_owned())?;
    match number.checked_mul(factor) {
        Some(seconds @ 1..=LIMIT) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be between 1s and 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_go_before_and_after_it() {
        for line in [
            "kubectl-kidp -n shop status db/orders -o json",
            "kubectl-kidp status db/orders -n shop -o json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.namespace.as_deref(), Some("shop"));
            assert_eq!(cli.global.output, Some(Format::Json));
            assert_eq!(cli.global.request_timeout, Duration::from_secs(10));
        }
    }

    #[test]
    fn times_have_a_unit_and_a_limit() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        for wrong in ["", "0s", "25h", "-1s", "1.5s", "5d", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_gets_what_follows_the_dashes() {
        let line = [
            "kubectl-kidp",
            "connect",
            "db/orders",
            "--exec",
            "--",
            "-c",
            "select 1",
        ];
        let Command::Connect(args) = Cli::try_parse_from(line).unwrap().command else {
            unreachable!()
        };
        assert_eq!(args.arguments, ["-c", "select 1"]);
        let without = ["kubectl-kidp", "connect", "db/orders", "--", "-c"];
        assert!(Cli::try_parse_from(without).is_err());
    }
}

//! The operator's settings: the one place where flags and environment variables are read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use jiff::SignedDuration;
use kidp_telemetry::TelemetryConfig;
use url::Url;

use crate::admission;
use crate::broker::orphans::{self, OrphanData, OrphanPolicy};

/// KIDP operator: places databases, caches and message queues at brokers and keeps their status.
#[derive(Clone, Debug, Parser)]
#[command(name = "kidp-operator", version)]
pub struct Config {
    /// Address that broker callbacks are received at.
    #[arg(long, env = "KIDP_CALLBACK_LISTEN", default_value = "0.0.0.0:9090")]
    pub callback_listen: SocketAddr,

    /// URL that brokers are told to call back. Without it none is told, and the operator polls.
    #[arg(long, env = "KIDP_CALLBACK_URL")]
    pub callback_url: Option<Url>,

    /// Address of `/healthz` and `/readyz`.
    #[arg(long, env = "KIDP_HEALTH_LISTEN", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,

    /// Namespace of the leader election's Lease.
    #[arg(long, env = "KIDP_NAMESPACE", default_value = "kidp-system")]
    pub namespace: String,

    /// Only objects of this namespace; all namespaces when absent.
    #[arg(long, env = "KIDP_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,

    /// Only `Broker` objects of this namespace take part. Set it where not everybody who may create a
    /// `Broker` is trusted with everybody's data.
    #[arg(long, env = "KIDP_BROKER_NAMESPACE")]
    pub broker_namespace: Option<String>,

    /// Whether the namespaces that teams ask for are made and guarded. Needs the rights of the shipped manifests.
    #[arg(long, env = "KIDP_TEAM_NAMESPACES", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub team_namespaces: bool,

    /// Address of validating admission, over TLS. Without it nothing is judged before it is created.
    #[arg(long, env = "KIDP_ADMISSION_LISTEN")]
    pub admission_listen: Option<SocketAddr>,

    /// Names or addresses that the API server reaches it by; they are in its certificate.
    #[arg(
        long = "admission-host",
        env = "KIDP_ADMISSION_HOSTS",
        value_delimiter = ',',
        default_value = "kidp-operator.kidp-system.svc"
    )]
    pub admission_hosts: Vec<String>,

    /// Name of the `ValidatingWebhookConfiguration` that the authority of its certificate is written into.
    #[arg(long, env = "KIDP_ADMISSION_CONFIGURATION", default_value = "kidp-operator")]
    pub admission_configuration: String,

    /// Whether only the holder of the Lease works. Needed with more than one replica.
    #[arg(long, env = "KIDP_LEADER_ELECT", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: bool,

    /// Who this replica is in the Lease, such as the pod's name; random when absent.
    #[arg(long, env = "KIDP_IDENTITY")]
    pub identity: Option<String>,

    /// Reconciles that run at once, for each kind.
    #[arg(long, env = "KIDP_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Milliseconds after which a broker is first asked again while it provisions; doubles up to `--poll-max-ms`.
    #[arg(long, env = "KIDP_POLL_MIN_MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub poll_min_ms: u64,

    /// Longest time between two questions while a broker provisions, in milliseconds.
    #[arg(long, env = "KIDP_POLL_MAX_MS", default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub poll_max_ms: u64,

    /// Longest back-off after failures, in milliseconds.
    #[arg(long, env = "KIDP_BACKOFF_MAX_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub backoff_max_ms: u64,

    /// Seconds between two looks at what is settled: ready, or refused until its spec changes.
    #[arg(long, env = "KIDP_RESYNC_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    pub resync_seconds: u64,

    /// Longest time that a broker may take for one answer, in milliseconds.
    #[arg(long, env = "KIDP_BROKER_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=120_000))]
    pub broker_timeout_ms: u64,

    /// File with the token that brokers with `authentication.type: jwt` are shown, such as a projected token of the
    /// operator's service account with their audience. Read for each exchange.
    #[arg(long, env = "KIDP_BROKER_TOKEN_FILE")]
    pub broker_token_file: Option<PathBuf>,

    /// File, in PEM, with the only authorities that certificates of `https` brokers may be of, but for brokers whose Secret
    /// has a `ca.crt`. The system's authorities when absent.
    #[arg(long, env = "KIDP_BROKER_CA_FILE")]
    pub broker_ca_file: Option<PathBuf>,

    /// Longest time that work under way gets at shutdown, in milliseconds.
    #[arg(long, env = "KIDP_DRAIN_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=120_000))]
    pub drain_ms: u64,

    /// Who this operator is to brokers, so that it knows its own instances; the UID of the `Broker` object when absent.
    /// Set it where `Broker` objects may be made anew.
    #[arg(long, env = "KIDP_OPERATOR_ID", value_parser = operator_id)]
    pub operator_id: Option<String>,

    /// What is done about an instance of this operator whose resource is gone.
    #[arg(long, env = "KIDP_ORPHAN_POLICY", value_enum, default_value = "report")]
    pub orphan_policy: OrphanPolicy,

    /// What becomes of the data of such an instance when it is removed.
    #[arg(long, env = "KIDP_ORPHAN_DATA", value_enum, default_value = "retain")]
    pub orphan_data: OrphanData,

    /// Seconds that such an instance has to be seen without its resource before it is removed.
    #[arg(long, env = "KIDP_ORPHAN_GRACE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub orphan_grace_seconds: u64,

    /// Seconds between two looks for such instances at a broker.
    #[arg(long, env = "KIDP_ORPHAN_SCAN_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub orphan_scan_seconds: u64,

    /// Name of the `PriceBook` that costs are computed by. Without it nothing is said of costs, and no usage is recorded.
    #[arg(long, env = "KIDP_PRICE_BOOK", value_parser = object_name)]
    pub price_book: Option<String>,

    /// Address of `/v1/costs`, which is served with `--price-book` only.
    #[arg(long, env = "KIDP_COSTS_LISTEN", default_value = "0.0.0.0:9091")]
    pub costs_listen: SocketAddr,

    /// Days that the usage of a resource that is gone is kept: as long as costs may be asked about.
    #[arg(long, env = "KIDP_USAGE_RETENTION_DAYS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..=4_000))]
    pub usage_retention_days: u16,

    /// What is logged and traced.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Bounds of every wait of the reconcilers.
    pub fn waits(&self) -> Waits {
        Waits {
            poll_min: Duration::from_millis(self.poll_min_ms),
            poll_max: Duration::from_millis(self.poll_max_ms.max(self.poll_min_ms)),
            backoff_max: Duration::from_millis(self.backoff_max_ms.max(self.poll_min_ms)),
            resync: Duration::from_secs(self.resync_seconds),
        }
    }

    /// How orphans are dealt with.
    pub fn orphans(&self) -> orphans::Settings {
        orphans::Settings {
            operator_id: self.operator_id.clone(),
            policy: self.orphan_policy,
            data: self.orphan_data,
            grace: Duration::from_secs(self.orphan_grace_seconds),
            every: Duration::from_secs(self.orphan_scan_seconds),
            namespace: self.watch_namespace.clone(),
        }
    }

    /// [`Self::usage_retention_days`].
    pub fn usage_retention(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.usage_retention_days))
    }

    /// How admission is served, if it is.
    pub fn admission(&self) -> Option<admission::Settings> {
        Some(admission::Settings {
            listen: self.admission_listen?,
            hosts: self.admission_hosts.clone(),
            configuration: self.admission_configuration.clone(),
            namespace: self.namespace.clone(),
            team_namespaces: self.team_namespaces,
            prices: self
                .price_book
                .clone()
                .map(|book| (book, self.broker_namespace.clone())),
        })
    }

    /// [`Self::broker_timeout_ms`].
    pub const fn broker_timeout(&self) -> Duration {
        Duration::from_millis(self.broker_timeout_ms)
    }

    /// [`Self::drain_ms`].
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

fn object_name(text: &str) -> Result<String, String> {
    kidp_core::names::validate_label(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

fn operator_id(text: &str) -> Result<String, String> {
    kidp_core::names::validate_label(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

/// Bounds of every wait of the reconcilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// First wait, of a poll and of a back-off.
    pub poll_min: Duration,
    /// Longest wait between two polls.
    pub poll_max: Duration,
    /// Longest back-off.
    pub backoff_max: Duration,
    /// Wait when nothing is under way.
    pub resync: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_parse_and_bounds_hold() {
        let config = Config::try_parse_from(["kidp-operator"]).unwrap();
        assert_eq!(config.callback_listen.port(), 9090);
        assert!(!config.leader_elect);
        assert!(
            Config::try_parse_from(["kidp-operator", "--leader-elect"])
                .unwrap()
                .leader_elect
        );
        assert!(
            !Config::try_parse_from(["kidp-operator", "--leader-elect=false"])
                .unwrap()
                .leader_elect
        );
        assert!(Config::try_parse_from(["kidp-operator", "--concurrency", "0"]).is_err());
        assert!(Config::try_parse_from(["kidp-operator", "--callback-url", "not a url"]).is_err());
    }

    #[test]
    fn the_shipped_manifest_mounts_what_its_flags_name() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../deploy/manifests/operator/deployment.yaml"
        );
        let manifest: serde_json::Value =
            serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let pod = &manifest["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array().unwrap();
        let arguments = arguments.iter().map(|a| a.as_str().unwrap());
        let config = Config::try_parse_from(std::iter::once("kidp-operator").chain(arguments)).unwrap();
        let mount = &pod["containers"][0]["volumeMounts"][0]["mountPath"];
        let entry = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"];
        let token = PathBuf::from(mount.as_str().unwrap()).join(entry.as_str().unwrap());
        assert_eq!(config.broker_token_file, Some(token));
    }

    #[test]
    fn a_maximum_below_its_minimum_is_lifted() {
        let config =
            Config::try_parse_from(["kidp-operator", "--poll-min-ms=2000", "--poll-max-ms=100"]).unwrap();
        assert_eq!(config.waits().poll_max, Duration::from_secs(2));
    }
}

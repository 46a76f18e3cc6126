//! The operator's settings: the one place where flags and environment variables are read.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use url::Url;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

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

    /// Longest time that work under way gets at shutdown, in milliseconds.
    #[arg(long, env = "KIDP_DRAIN_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=120_000))]
    pub drain_ms: u64,

    /// How log lines are written.
    #[arg(long, env = "KIDP_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Which log lines are written, as `tracing` directives.
    #[arg(long, env = "KIDP_LOG", default_value = "info")]
    pub log: String,
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

    /// [`Self::broker_timeout_ms`].
    pub const fn broker_timeout(&self) -> Duration {
        Duration::from_millis(self.broker_timeout_ms)
    }

    /// [`Self::drain_ms`].
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
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
    fn a_maximum_below_its_minimum_is_lifted() {
        let config =
            Config::try_parse_from(["kidp-operator", "--poll-min-ms=2000", "--poll-max-ms=100"]).unwrap();
        assert_eq!(config.waits().poll_max, Duration::from_secs(2));
    }
}

//! The broker's configuration: flags, each with an environment variable. Nothing else reads the environment.

mod access;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kidp_core::names::{validate_label, validate_subdomain};
use kidp_telemetry::TelemetryConfig;

pub use access::AccessConfig;
/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Replaces the key that callbacks are signed with, and prints the new public half. The one before is used beside it
    /// for two hours; after a leak, rotate twice.
    RotateKey,
}

/// A KIDP broker: provisions databases, caches and message queues in its own cluster, on request.
#[derive(Clone, Debug, Parser)]
#[command(name = "kidp-broker", version)]
pub struct Config {
    /// Something else than to serve.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address of the HTTP API.
    #[arg(long, env = "KIDP_LISTEN", default_value = "0.0.0.0:8082")]
    pub listen: SocketAddr,

    /// Address of `GET /metrics`, which asks for no credentials; it is not served when absent.
    #[arg(long, env = "KIDP_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,

    /// Name of this broker; equals the name of its `Broker` object. Part of every deployment's identity, so it
    /// must not change while instances exist.
    #[arg(long, env = "KIDP_BROKER_NAME", value_parser = subdomain)]
    pub name: String,

    /// Namespace that the broker runs in; its signing key is a Secret there.
    #[arg(long, env = "KIDP_NAMESPACE", default_value = "kidp-broker-local", value_parser = label)]
    pub namespace: String,

    /// URL that callbacks may be sent to, with everything below its path. May be given several times. A request
    /// with any other callback URL is refused.
    #[arg(
        long = "allowed-callback-url",
        env = "KIDP_ALLOWED_CALLBACK_URLS",
        value_delimiter = ','
    )]
    pub allowed_callback_urls: Vec<String>,

    /// File with the certificates (PEM) of the authorities that callback URLs are trusted by; the system's when absent.
    #[arg(long, env = "KIDP_CALLBACK_CA_FILE")]
    pub callback_ca_file: Option<PathBuf>,

    /// Days after which the key that callbacks are signed with is replaced; 0 for never.
    #[arg(long, env = "KIDP_CALLBACK_KEY_MAX_AGE_DAYS", default_value_t = 90)]
    pub callback_key_max_age_days: u16,

    /// Who may ask, how often, and over what.
    #[command(flatten)]
    pub access: AccessConfig,

    /// Repository of the `PostgreSQL` image, such as a mirror's.
    #[arg(long, env = "KIDP_POSTGRES_IMAGE_REPOSITORY")]
    pub postgres_image_repository: Option<String>,

    /// Repository of the `PostgreSQL` image with failover, such as a mirror's: `CloudNativePG`'s own, or one that meets its
    /// requirements. Its user is `--postgres-ha-uid`.
    #[arg(long, env = "KIDP_POSTGRES_HA_IMAGE_REPOSITORY")]
    pub postgres_ha_image_repository: Option<String>,

    /// Repository of the image that serves the metrics of `PostgreSQL`, such as a mirror's.
    #[arg(long, env = "KIDP_POSTGRES_EXPORTER_IMAGE_REPOSITORY")]
    pub postgres_exporter_image_repository: Option<String>,

    /// User and group of the `PostgreSQL` image with failover. Fixed when an instance is made.
    #[arg(long, env = "KIDP_POSTGRES_HA_UID", default_value_t = 26, value_parser = clap::value_parser!(i64).range(1..))]
    pub postgres_ha_uid: i64,

    /// Most instances that are worked on at once.
    #[arg(long, env = "KIDP_MAX_CONCURRENT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_concurrent: u16,

    /// Most instances of one namespace that are made at once; more wait for their turn, the oldest first. What was made
    /// once is repaired, changed and removed at any time.
    #[arg(long, env = "KIDP_MAX_CONCURRENT_PER_NAMESPACE", default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_concurrent_per_namespace: u16,

    /// What is logged and traced.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// [`Self::callback_key_max_age_days`]; `None` for never.
    pub fn callback_key_max_age(&self) -> Option<Duration> {
        let days = u64::from(self.callback_key_max_age_days);
        (days > 0).then(|| Duration::from_hours(24 * days))
    }
}

fn subdomain(text: &str) -> Result<String, String> {
    validate_subdomain(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

fn label(text: &str) -> Result<String, String> {
    validate_label(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_repeated_urls() {
        let config = Config::try_parse_from([
            "kidp-broker",
            "--name=eu",
            "--allowed-callback-url=http://a/",
            "--allowed-callback-url=http://b/",
        ])
        .unwrap();
        assert_eq!(config.listen.port(), 8082);
        assert_eq!(config.allowed_callback_urls, ["http://a/", "http://b/"]);
        assert_eq!(
            (config.max_concurrent, config.max_concurrent_per_namespace),
            (10, 10)
        );
        assert_eq!(config.callback_key_max_age(), Some(Duration::from_hours(90 * 24)));
        let rotate = Config::try_parse_from(["kidp-broker", "--name=eu", "rotate-key"]).unwrap();
        assert_eq!(rotate.command, Some(Command::RotateKey));
        assert_eq!(config.access.rate_limit_per_minute, 100);
    }

    #[test]
    fn settings_that_belong_together_are_asked_for() {
        let parse = |flags: &[&str]| {
            let all = ["kidp-broker", "--name=eu"]
                .into_iter()
                .chain(flags.iter().copied());
            Config::try_parse_from(all).is_ok()
        };
        assert!(!parse(&["--tls-cert-file=c"]) && !parse(&["--tls-key-file=k"]));
        assert!(parse(&["--tls-cert-file=c", "--tls-key-file=k"]));
        assert!(!parse(&["--client-ca-file=ca"]));
        assert!(!parse(&["--jwks-file=f"]) && !parse(&["--jwks-file=f", "--jwks-issuer=i"]));
        assert!(parse(&["--jwks-file=f", "--jwks-issuer=i", "--jwks-audience=a"]));
        assert!(!parse(&["--token-audience="]));
    }

    #[test]
    fn a_name_that_is_no_object_name_is_refused() {
        assert!(Config::try_parse_from(["kidp-broker", "--name=Not OK"]).is_err());
        assert!(Config::try_parse_from(["kidp-broker"]).is_err());
    }
}

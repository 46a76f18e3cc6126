//! The broker's configuration: flags, each with an environment variable. Nothing else reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use kidp_core::names::{validate_label, validate_subdomain};

/// A KIDP broker: provisions databases, caches and message queues in its own cluster, on request.
#[derive(Clone, Debug, Parser)]
#[command(name = "kidp-broker", version)]
pub struct Config {
    /// Address of the HTTP API.
    #[arg(long, env = "KIDP_LISTEN", default_value = "0.0.0.0:8082")]
    pub listen: SocketAddr,

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

    /// File with API keys, one a line. When given, every route but `/health` and `/readiness` needs one, as
    /// `Authorization: Bearer` or `X-API-Key`.
    #[arg(long, env = "KIDP_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Repository of the `PostgreSQL` image, such as a mirror's.
    #[arg(long, env = "KIDP_POSTGRES_IMAGE_REPOSITORY")]
    pub postgres_image_repository: Option<String>,

    /// Most instances that are worked on at once.
    #[arg(long, env = "KIDP_MAX_CONCURRENT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_concurrent: u16,

    /// Form of the log.
    #[arg(long, env = "KIDP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged, as a `tracing` filter.
    #[arg(long, env = "KIDP_LOG", default_value = "info")]
    pub log: String,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
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
        assert_eq!(config.max_concurrent, 10);
    }

    #[test]
    fn a_name_that_is_no_object_name_is_refused() {
        assert!(Config::try_parse_from(["kidp-broker", "--name=Not OK"]).is_err());
        assert!(Config::try_parse_from(["kidp-broker"]).is_err());
    }
}

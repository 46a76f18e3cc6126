//! The flags of logging and tracing, the same for both programs. Each has an environment variable.

use clap::{Args, ValueEnum};
use url::Url;

/// What is told, how, and to whom.
#[derive(Clone, Debug, Args)]
pub struct TelemetryConfig {
    /// Form of the log, on standard error.
    #[arg(long, env = "KIDP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged, as `tracing` directives.
    #[arg(long, env = "KIDP_LOG", default_value = "info")]
    pub log: String,

    /// Base URL of a collector that traces are sent to, as OTLP over HTTP to `v1/traces` below it. None are sent when absent.
    #[arg(long, env = "KIDP_OTLP_ENDPOINT", value_name = "URL", value_parser = collector)]
    pub otlp_endpoint: Option<Url>,

    /// Share of the traces that are sent, from 0 to 1. Of one that the caller does not record, nothing is sent.
    #[arg(long, env = "KIDP_TRACE_SAMPLE_RATIO", default_value_t = 1.0, value_parser = share)]
    pub trace_sample_ratio: f64,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where traces are taken below a collector's base URL, of which nothing may be secret: it is in the process's arguments.
fn collector(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must be an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no credentials".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must be a base URL, without query or fragment".to_owned());
    }
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/v1/traces"));
    Ok(url)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "must be a number")?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("must be from 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        telemetry: TelemetryConfig,
    }

    fn parse(flags: &[&str]) -> Result<TelemetryConfig, String> {
        let all = std::iter::once("program").chain(flags.iter().copied());
        let parsed = Program::try_parse_from(all);
        parsed.map(|it| it.telemetry).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_it_is_asked_for() {
        let config = parse(&[]).unwrap();
        assert_eq!(
            (config.log.as_str(), config.log_format),
            ("info", LogFormat::Text)
        );
        assert_eq!(config.otlp_endpoint, None);
        assert!((config.trace_sample_ratio - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn traces_go_below_the_base_url() {
        for (given, used) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://c.example/otlp/", "https://c.example/otlp/v1/traces"),
        ] {
            let config = parse(&["--otlp-endpoint", given]).unwrap();
            assert_eq!(config.otlp_endpoint.unwrap().as_str(), used);
        }
    }

    #[test]
    fn an_error_names_the_flag_and_the_fault() {
        for (value, fault) in [
            ("collector:4318", "http or https"),
            ("unix:/run/otlp", "http or https"),
            ("4318", "relative URL"),
            ("http://me:secret@collector", "credentials"),
            ("http://collector/?key=1", "base URL"),
            ("http://", "empty host"),
        ] {
            let error = parse(&["--otlp-endpoint", value]).unwrap_err();
            assert!(
                error.contains("--otlp-endpoint") && error.contains(fault),
                "{error}"
            );
        }
        for value in ["-0.1", "1.1", "NaN", "half"] {
            let error = parse(&[&format!("--trace-sample-ratio={value}")]).unwrap_err();
            assert!(error.contains("--trace-sample-ratio"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_for_a_collector_is_a_traces_url(text in "(http|https|ftp)?(://)?[ -~]{0,40}") {
            if let Ok(url) = collector(&text) {
                prop_assert!(url.path().ends_with("/v1/traces") && url.query().is_none());
                prop_assert!(url.username().is_empty() && url.password().is_none());
            }
        }
    }
}

//! The log: text or JSON on standard error. Bodies, keys and credentials are never logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Config, LogFormat};

/// The filter that is configured, with the audit log in it unless it speaks of that itself: who asks for less of the log
/// does not ask for no record of changes.
fn filter(configured: &str) -> String {
    if configured.contains("audit") {
        return configured.to_owned();
    }
    format!("{configured},audit=info")
}

/// Starts logging; does nothing when it has been started.
pub fn init(config: &Config) {
    let filter = EnvFilter::try_new(filter(&config.log)).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match config.log_format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_is_on_unless_it_is_turned_off() {
        assert_eq!(filter("warn"), "warn,audit=info");
        assert_eq!(filter("info,audit=off"), "info,audit=off");
        assert!(EnvFilter::try_new(filter("warn,kidp_broker=debug")).is_ok());
    }
}

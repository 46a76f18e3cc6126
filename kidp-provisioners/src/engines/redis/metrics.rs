//! `redis_exporter` beside each server, where metrics are asked for.
//!
//! It takes passwords from a JSON file that has them by address, which is an entry of the connection Secret. It logs in as
//! the clients' user, which may not ask for the server's configuration or its latency histograms; it does not try.
//! <https://github.com/oliver006/redis_exporter#command-line-flags>

use k8s_openapi::api::core::v1::{Container, Volume};
use serde_json::json;

use super::{PORT, RedisConfig};
use crate::engines::{exporter, tls};
use crate::instance::Credentials;
use crate::resources::container::variable;
use crate::resources::meta::Scope;
use crate::resources::monitor;
use crate::resources::stateful_set::{read_only_mount, secret_files};

/// Where it listens.
const METRICS_PORT: u16 = 9121;
/// Entry of the Secret with the password by address.
const PASSWORDS: &str = "exporter.json";

/// The container.
pub(super) fn sidecar(config: &RedisConfig, scope: &Scope<'_>) -> Option<Container> {
    let mut env = vec![
        variable("REDIS_ADDR", &address(scope)),
        variable(
            "REDIS_PASSWORD_FILE",
            &format!("{}/{PASSWORDS}", exporter::FOLDER),
        ),
        variable("REDIS_EXPORTER_CONFIG_COMMAND", "-"),
        variable("REDIS_EXPORTER_EXCLUDE_LATENCY_HISTOGRAM_METRICS", "true"),
    ];
    if tls::is_on(scope.instance) {
        // It would look for its address in the certificate. It does not leave the pod, where nobody else can answer.
        env.push(variable("REDIS_EXPORTER_SKIP_TLS_VERIFICATION", "true"));
    }
    monitor::is_on(scope).then(|| Container {
        env: Some(env),
        volume_mounts: Some(vec![read_only_mount("exporter", exporter::FOLDER)]),
        ..config.exporter.container(METRICS_PORT)
    })
}

/// The volume of [`sidecar`].
pub(super) fn volume(scope: &Scope<'_>) -> Option<Volume> {
    monitor::is_on(scope).then(|| secret_files("exporter", scope.secret(), &[PASSWORDS]))
}

/// What the connection Secret has for it.
pub(super) fn entry(scope: &Scope<'_>, credentials: &Credentials) -> Option<(&'static str, String)> {
    let passwords = || json!({address(scope): credentials.password}).to_string();
    monitor::is_on(scope).then(|| (PASSWORDS, passwords()))
}

/// The server in the same pod.
fn address(scope: &Scope<'_>) -> String {
    let scheme = if tls::is_on(scope.instance) {
        "rediss"
    } else {
        "redis"
    };
    format!("{scheme}://127.0.0.1:{}", PORT.number)
}

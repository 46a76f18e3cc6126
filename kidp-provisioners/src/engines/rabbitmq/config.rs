//! `rabbitmq.conf`, from what KIDP needs, the presets and the user's parameters, and the files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use kidp_core::instance::TlsVersion;

use super::parameters::{CATALOGUE, PLUGINS};
use super::{AMQP, AMQPS, MANAGEMENT_TLS, nodes, presets};
use crate::engines::tls;
use crate::instance::{Credentials, Instance};
use crate::resources::config_map::Files;
use crate::resources::meta::Scope;

/// Where the ConfigMap is mounted. It hides the image's own files, whose settings are in [`fixed`].
pub(super) const FOLDER: &str = "/etc/rabbitmq";

/// Entry of the Secret with the login in the form that the server reads. The official image ends when it is given
/// `RABBITMQ_DEFAULT_PASS_FILE`, and a variable with the password would be readable in the pod's spec.
/// <https://github.com/docker-library/rabbitmq/blob/master/docker-entrypoint.sh>
pub(super) const LOGIN: &str = "default_user.conf";

/// The plugin that adds a port.
pub(super) const MANAGEMENT_PLUGIN: &str = "rabbitmq_management";

/// The line of `ready.sh` that opens its connection.
const OPEN: &str = "exec 3<> /dev/tcp/127.0.0.1/5672";

/// The files of the ConfigMap.
pub(super) fn files(instance: &Instance) -> Files {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let ready = include_str!("ready.sh");
    let ready = if tls::is_on(instance) {
        let address = format!("127.0.0.1:{}", AMQPS.number);
        tls::over_tls(&Scope::new(instance), ready, OPEN, &address)
    } else {
        ready.to_owned()
    };
    BTreeMap::from([
        file("rabbitmq.conf", &render(instance)),
        file("enabled_plugins", &enabled_plugins(instance)),
        file("prepare.sh", include_str!("prepare.sh")),
        file("ready.sh", &ready),
        file("joined.sh", include_str!("joined.sh")),
    ])
}

/// The user, its password and its virtual host, for the first start.
/// <https://www.rabbitmq.com/docs/access-control#default-state>
pub(super) fn login(credentials: &Credentials) -> String {
    let Credentials {
        username,
        password,
        database,
    } = credentials;
    format!("default_user = {username}\ndefault_pass = {password}\ndefault_vhost = {database}\n")
}

/// The plugins of an instance: Prometheus's, as in the official image, and those asked for.
pub(super) fn plugins(instance: &Instance) -> BTreeSet<String> {
    let mut plugins = BTreeSet::from(["rabbitmq_prometheus".to_owned()]);
    if nodes(instance) > 1 {
        plugins.insert("rabbitmq_peer_discovery_k8s".to_owned());
    }
    if let Some(asked) = settings(instance).get(PLUGINS) {
        plugins.extend(asked.split(',').map(|name| name.trim().to_owned()));
    }
    plugins
}

/// An Erlang term. <https://www.rabbitmq.com/docs/plugins#enabled-plugins-file>
fn enabled_plugins(instance: &Instance) -> String {
    let names: Vec<_> = plugins(instance).into_iter().collect();
    format!("[{}].\n", names.join(","))
}

/// Presets and parameters. `validate` refuses values of another type; they are left out here too, since `build` may
/// be called without it, and the format has no quotes to keep them in.
fn settings(instance: &Instance) -> BTreeMap<&'static str, String> {
    let mut settings = CATALOGUE.settings(presets::presets(instance), &instance.spec);
    settings.retain(|name, value| CATALOGUE.find(name).is_none_or(|p| p.kind.accepts(value)));
    settings
}

/// The whole file: a key and a value a line. <https://www.rabbitmq.com/docs/configure#config-file>
fn render(instance: &Instance) -> String {
    let mut text = format!(
        "# Written by KIDP for size {}. Change spec.parameters, not this file.\n",
        instance.spec.size
    );
    let mut tuned = settings(instance);
    tuned.remove(PLUGINS);
    let lines = fixed(instance).into_iter().chain(tuned);
    for (name, value) in lines {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

/// What the pod depends on; not to be changed by parameters.
fn fixed(instance: &Instance) -> Vec<(&'static str, String)> {
    let mut fixed = listeners(instance);
    fixed.extend([
        // The limit of the control group, said rather than found out: a node with one page less than its limit is
        // killed, one that takes the machine's memory for its own never stops its publishers.
        (
            "total_memory_available_override_value",
            instance.spec.size.memory_bytes().to_string(),
        ),
        ("log.console", "true".to_owned()),
        ("log.console.use_colors", "off".to_owned()),
        ("log.file", "false".to_owned()),
    ]);
    if !plugins(instance).contains(MANAGEMENT_PLUGIN) {
        // As in the official image without that plugin: metrics are Prometheus's.
        fixed.push(("management_agent.disable_metrics_collector", "true".to_owned()));
    }
    if nodes(instance) > 1 {
        fixed.extend([
            ("cluster_formation.peer_discovery_backend", "k8s".to_owned()),
            (
                "cluster_formation.target_cluster_size_hint",
                nodes(instance).to_string(),
            ),
            // Where the metadata is still in Mnesia (4.0 and 4.1): the side without a majority stops.
            ("cluster_partition_handling", "pause_minority".to_owned()),
        ]);
    }
    fixed
}

/// What clients connect to. With TLS, no listener is plain but that of metrics, which the NetworkPolicy opens to those
/// alone that `spec.monitoring` names. <https://www.rabbitmq.com/docs/ssl>, <https://www.rabbitmq.com/docs/management#single-listener-https>
fn listeners(instance: &Instance) -> Vec<(&'static str, String)> {
    if !tls::is_on(instance) {
        return vec![("listeners.tcp.default", AMQP.number.to_string())];
    }
    let mut listeners = vec![
        ("listeners.tcp", "none".to_owned()),
        ("listeners.ssl.default", AMQPS.number.to_string()),
        ("ssl_options.cacertfile", tls::ca()),
        ("ssl_options.certfile", tls::certificate()),
        ("ssl_options.keyfile", tls::key()),
        // Clients have a password, and no certificate of their own.
        ("ssl_options.verify", "verify_none".to_owned()),
        ("ssl_options.fail_if_no_peer_cert", "false".to_owned()),
    ];
    let management = plugins(instance).contains(MANAGEMENT_PLUGIN);
    if management {
        listeners.extend([
            ("management.ssl.port", MANAGEMENT_TLS.number.to_string()),
            ("management.ssl.cacertfile", tls::ca()),
            ("management.ssl.certfile", tls::certificate()),
            ("management.ssl.keyfile", tls::key()),
        ]);
    }
    let older = tls::lowest(instance) == TlsVersion::V1_2;
    let versions = [
        (
            "ssl_options.versions.1",
            "management.ssl.versions.1",
            "tlsv1.3",
            true,
        ),
        (
            "ssl_options.versions.2",
            "management.ssl.versions.2",
            "tlsv1.2",
            older,
        ),
    ];
    for (amqp, http, version, _) in versions.into_iter().filter(|(.., served)| *served) {
        listeners.push((amqp, version.to_owned()));
        if management {
            listeners.push((http, version.to_owned()));
        }
    }
    listeners
}

#[cfg(test)]
mod tests {
    use super::login;
    use crate::instance::Credentials;

    #[test]
    fn a_login_is_three_lines() {
        let credentials = Credentials {
            username: "app".to_owned(),
            password: "secret".to_owned(),
            database: "/".to_owned(),
        };
        assert_eq!(
            login(&credentials),
            "default_user = app\ndefault_pass = secret\ndefault_vhost = /\n"
        );
    }
}

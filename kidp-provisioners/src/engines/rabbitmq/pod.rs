//! Containers, probes and volumes of a RabbitMQ pod.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, Lifecycle, LifecycleHandler, ObjectFieldSelector, Probe,
};

use super::{RabbitmqConfig, SPREAD_SINCE, config, nodes};
use crate::engines::tls;
use crate::resources::compute;
use crate::resources::container::{self, exec, variable};
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::monitor;
use crate::resources::service::Port;
use crate::resources::stateful_set::{Workload, config_files, mount, read_only_mount, scratch, secret_files};

const HOME: &str = "/var/lib/rabbitmq";
const CONNECTION: &str = "/etc/kidp/connection";

/// Where the Prometheus plugin, which is always on, listens. With TLS too it does so in plain.
/// <https://www.rabbitmq.com/docs/prometheus>
const METRICS_PORT: u16 = 15692;

/// The workload.
pub(super) fn workload(
    config: &RabbitmqConfig,
    scope: &Scope<'_>,
    ports: &[Port],
    config_checksum: String,
) -> Workload {
    let replicas = nodes(scope.instance);
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files(
            "connection",
            scope.secret(),
            &["username", "password", config::LOGIN],
        ),
        scratch("home"),
        scratch("tmp"),
    ];
    volumes.extend(tls::volume(scope));
    Workload {
        replicas,
        container: engine(config, scope, ports),
        sidecars: Vec::new(),
        init_containers: vec![Container {
            name: "prepare".to_owned(),
            command: Some(words(&["sh", "/etc/rabbitmq/prepare.sh"])),
            ..base(config, scope)
        }],
        volumes,
        uid: config.uid,
        config_checksum,
        // In a cluster, the wait for the other nodes and the hand-over of queues come first, see `leave`.
        termination_grace_period_seconds: if replicas > 1 { 180 } else { 60 },
        spread: replicas > 1 && scope.instance.revision >= SPREAD_SINCE,
    }
}

/// The server. No liveness probe: a node that waits for its peers, or recovers a large store, does not answer for a
/// long time, and starting it anew begins that anew
/// (<https://www.rabbitmq.com/docs/monitoring#health-checks>).
fn engine(config: &RabbitmqConfig, scope: &Scope<'_>, ports: &[Port]) -> Container {
    let clustered = nodes(scope.instance) > 1;
    let metrics = monitor::is_on(scope).then(|| monitor::port(METRICS_PORT));
    Container {
        name: "rabbitmq".to_owned(),
        ports: Some(ports.iter().chain(&metrics).map(container::port).collect()),
        startup_probe: Some(if clustered {
            joined()
        } else {
            container::startup(ready())
        }),
        readiness_probe: Some(Probe {
            // A login is a few hashes and a line in the statistics; twice as rarely as others.
            period_seconds: Some(10),
            ..container::readiness(ready())
        }),
        lifecycle: clustered.then(leave),
        ..base(config, scope)
    }
}

/// What both containers have.
fn base(config: &RabbitmqConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    let mut volume_mounts = vec![
        mount("home", HOME),
        mount(DATA_VOLUME, "/var/lib/rabbitmq/mnesia"),
        read_only_mount("config", config::FOLDER),
        read_only_mount("connection", CONNECTION),
        mount("tmp", "/tmp"),
    ];
    volume_mounts.extend(tls::mount(scope));
    Container {
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        env: Some(environment(scope)),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

fn environment(scope: &Scope<'_>) -> Vec<EnvVar> {
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let domain = format!("{}.{}.svc", scope.name("headless"), scope.instance.namespace);
    vec![
        field("POD_NAME", "metadata.name"),
        field("POD_IP", "status.podIP"),
        variable("HOME", HOME),
        variable("NODES", &nodes(scope.instance).to_string()),
        variable("RABBITMQ_NODENAME", &format!("rabbit@$(POD_NAME).{domain}")),
        variable("RABBITMQ_USE_LONGNAME", "true"),
        variable("RABBITMQ_CONFIG_FILES", &format!("{CONNECTION}/*.conf")),
    ]
}

fn ready() -> k8s_openapi::api::core::v1::ExecAction {
    exec(&["bash", "/etc/rabbitmq/ready.sh"])
}

/// The tool that counts members starts an Erlang machine, which may take seconds on a busy node.
fn joined() -> Probe {
    Probe {
        period_seconds: Some(5),
        timeout_seconds: Some(30),
        failure_threshold: Some(120),
        ..container::startup(exec(&["bash", "/etc/rabbitmq/joined.sh"]))
    }
}

/// Before a node of a cluster stops: waits until no queue loses its majority by it, and hands its leaderships over
/// (<https://www.rabbitmq.com/docs/upgrade#rolling-upgrades>). A node that cannot do so stops all the same.
fn leave() -> Lifecycle {
    let script = "rabbitmq-upgrade --timeout 60 await_online_quorum_plus_one; rabbitmq-upgrade --timeout 60 drain; true";
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec: Some(exec(&["sh", "-c", script])),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

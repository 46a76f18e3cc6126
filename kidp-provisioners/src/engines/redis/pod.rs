//! Containers, probes and volumes of the pod of a server alone.

use k8s_openapi::api::core::v1::{Container, ExecAction};

use super::{PORT, RedisConfig, acl, config, metrics};
use crate::engines::tls;
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::stateful_set::{Workload, config_files, memory, mount, read_only_mount, secret_files};
use crate::resources::{compute, container};

/// The workload.
pub(super) fn workload(config: &RedisConfig, scope: &Scope<'_>, config_checksum: String) -> Workload {
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files("connection", scope.secret(), &["password"]),
        // Not on the node's disk.
        memory("acl", 1),
    ];
    volumes.extend(tls::volume(scope));
    volumes.extend(metrics::volume(scope));
    Workload {
        replicas: 1,
        container: engine(config, scope),
        sidecars: metrics::sidecar(config, scope).into_iter().collect(),
        init_containers: vec![users(config, scope)],
        volumes,
        uid: config.uid,
        config_checksum,
        // A stop writes the log to disk, and a snapshot where `save` asks for one: the whole memory, at worst.
        termination_grace_period_seconds: 120,
        spread: false,
    }
}

fn engine(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    let mut volume_mounts = vec![
        mount(DATA_VOLUME, config::DATA),
        read_only_mount("config", config::FOLDER),
        read_only_mount("connection", acl::CONNECTION),
        read_only_mount("acl", acl::FOLDER),
    ];
    volume_mounts.extend(tls::mount(scope));
    Container {
        name: "redis".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        // The entrypoint makes `redis-server` of it, with the modules that the image of version 8 brings.
        args: Some(vec![config::PATH.to_owned()]),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(container::startup(answers(scope))),
        readiness_probe: Some(container::readiness(answers_with_pong(scope))),
        // A server that loads its data, or that has too many clients, answers too: it is not restarted for it.
        liveness_probe: Some(container::liveness(answers(scope))),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

/// Writes the ACL file before the server starts.
fn users(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    Container {
        name: "users".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), acl::script()]),
        // The same as the server's: a pod is counted by the larger of the two, so that it costs nothing.
        resources: Some(compute::requirements(spec.size, config.request_share)),
        volume_mounts: Some(vec![
            read_only_mount("connection", acl::CONNECTION),
            mount("acl", acl::FOLDER),
        ]),
        ..Container::default()
    }
}

/// Any answer: without credentials it is an error, which `redis-cli` takes for an answer unless told otherwise.
pub(super) fn answers(scope: &Scope<'_>) -> ExecAction {
    let (port, ca) = (PORT.number.to_string(), tls::ca());
    let mut words = vec!["redis-cli", "-h", "127.0.0.1", "-p", &port];
    if tls::is_on(scope.instance) {
        words.extend(["--tls", "--cacert", &ca]);
    }
    words.push("ping");
    container::exec(&words)
}

/// PONG with the credentials that clients have. A server that loads its data answers LOADING; one that could not
/// write its snapshot and refuses writes for it answers MISCONF
/// (<https://github.com/redis/redis/blob/7.0/src/server.c>, `processCommand`). The shell reads the password from its
/// file, so that it is in no argument and in no variable of the pod.
fn answers_with_pong(scope: &Scope<'_>) -> ExecAction {
    let verify = if tls::is_on(scope.instance) {
        format!("--tls --cacert {} ", tls::ca())
    } else {
        String::new()
    };
    let script = format!(
        "[ \"$(REDISCLI_AUTH=\"$(cat {}/password)\" redis-cli -h 127.0.0.1 -p {} {verify}ping)\" = PONG ]",
        acl::CONNECTION,
        PORT.number,
    );
    container::exec(&["sh", "-c", &script])
}

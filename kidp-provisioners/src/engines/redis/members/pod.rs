//! Containers, probes and volumes of a member's pod.
//!
//! Sentinel and router are init containers that stay (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>):
//! they are there before Redis, which asks Sentinel how to start, and after it, since Sentinel hands the master over
//! while Redis stops.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle, LifecycleHandler, ObjectFieldSelector, Probe,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::pod::answers;
use super::super::{MASTER_NAME, PORT, RedisConfig, SENTINEL_PORT, acl, config, metrics};
use super::{COUNT, ROUTER_PORT, domain, names};
use crate::resources::compute::{self, Share};
use crate::resources::container::{self, exec, variable};
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::service::Port;
use crate::resources::stateful_set::{Workload, config_files, memory, mount, read_only_mount, secret_files};

/// Where the router says whether there is a master; for the kubelet alone.
const HEALTH_PORT: i32 = 8404;

/// Of a Sentinel: a few connections and a small state, and the tools of probes beside it.
const SENTINEL_SHARE: Share = Share {
    cpu_millis: (20, 500),
    mebibytes: (32, 128),
};

/// Of a router: 4000 clients with two buffers of 16 KiB each.
const ROUTER_SHARE: Share = Share {
    cpu_millis: (50, 1000),
    mebibytes: (64, 256),
};

/// The workload.
pub(in super::super) fn workload(
    config: &RedisConfig,
    scope: &Scope<'_>,
    config_checksum: String,
) -> Workload {
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files("connection", scope.secret(), &["password"]),
        memory("run", 1),
    ];
    volumes.extend(metrics::volume(scope));
    Workload {
        replicas: COUNT,
        container: redis(config, scope),
        sidecars: metrics::sidecar(config, scope).into_iter().collect(),
        init_containers: vec![prepare(config, scope), sentinel(config, scope), router(config)],
        volumes,
        uid: config.uid,
        config_checksum,
        // As of a server alone, and the hand-over before it.
        termination_grace_period_seconds: 180,
        spread: true,
    }
}

fn redis(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    Container {
        name: "redis".to_owned(),
        command: Some(script("start")),
        // The Service's port `redis` is the router's.
        ports: Some(vec![port("member", PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(container::startup(answers(scope))),
        readiness_probe: Some(container::readiness(exec(&[
            "sh",
            &format!("{}/ready.sh", config::FOLDER),
        ]))),
        liveness_probe: Some(container::liveness(answers(scope))),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(exec(&["sh", &format!("{}/leave.sh", config::FOLDER)])),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..base(config, scope)
    }
}

fn prepare(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    Container {
        name: "prepare".to_owned(),
        command: Some(script("prepare")),
        resources: Some(compute::fixed(SENTINEL_SHARE)),
        ..base(config, scope)
    }
}

fn sentinel(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    let port_number = SENTINEL_PORT.number.to_string();
    Container {
        name: "sentinel".to_owned(),
        command: Some(script("sentinel")),
        ports: Some(vec![port(SENTINEL_PORT.name, SENTINEL_PORT)]),
        resources: Some(compute::fixed(SENTINEL_SHARE)),
        restart_policy: Some("Always".to_owned()),
        // Whether it can fail over is for the pod's readiness, see ready.sh.
        liveness_probe: Some(container::liveness(exec(&[
            "redis-cli",
            "-h",
            "127.0.0.1",
            "-p",
            &port_number,
            "ping",
        ]))),
        ..base(config, scope)
    }
}

/// What the containers of the Redis image have in common.
fn base(config: &RedisConfig, scope: &Scope<'_>) -> Container {
    Container {
        image: Some(config.image.reference(&scope.instance.spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        env: Some(environment(scope)),
        volume_mounts: Some(vec![
            mount(DATA_VOLUME, config::DATA),
            mount("run", acl::FOLDER),
            read_only_mount("config", config::FOLDER),
            read_only_mount("connection", acl::CONNECTION),
        ]),
        ..Container::default()
    }
}

fn router(config: &RedisConfig) -> Container {
    let file = format!("{}/router.cfg", acl::FOLDER);
    let ready = HTTPGetAction {
        path: Some("/ready".to_owned()),
        port: IntOrString::Int(HEALTH_PORT),
        ..HTTPGetAction::default()
    };
    Container {
        name: "router".to_owned(),
        image: Some(config.router.reference(&config.router_version)),
        image_pull_policy: Some(config.router.pull_policy.as_str().to_owned()),
        // With a master process, which ends on any of the signals by which a pod may be stopped.
        command: Some(
            ["haproxy", "-W", "-db", "-f", &file]
                .map(ToOwned::to_owned)
                .to_vec(),
        ),
        ports: Some(vec![port(PORT.name, ROUTER_PORT)]),
        resources: Some(compute::fixed(ROUTER_SHARE)),
        restart_policy: Some("Always".to_owned()),
        readiness_probe: Some(Probe {
            http_get: Some(ready),
            period_seconds: Some(2),
            timeout_seconds: Some(2),
            failure_threshold: Some(5),
            ..Probe::default()
        }),
        volume_mounts: Some(vec![read_only_mount("run", acl::FOLDER)]),
        ..Container::default()
    }
}

fn script(name: &str) -> Vec<String> {
    vec!["sh".to_owned(), format!("{}/{name}.sh", config::FOLDER)]
}

fn port(name: &'static str, port: Port) -> k8s_openapi::api::core::v1::ContainerPort {
    container::port(&Port { name, ..port })
}

fn environment(scope: &Scope<'_>) -> Vec<EnvVar> {
    let name = EnvVar {
        name: "POD_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    vec![
        name,
        variable("DOMAIN", &domain(scope)),
        variable("MEMBERS", &names(scope).join(" ")),
        variable("MASTER_NAME", MASTER_NAME),
    ]
}

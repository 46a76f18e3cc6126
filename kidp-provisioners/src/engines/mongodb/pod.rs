//! Container, probes and volumes of a MongoDB pod.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ExecAction, ObjectFieldSelector, Probe};

use super::{MongodbConfig, PORT, REPLICAS, config};
use crate::resources::compute;
use crate::resources::container::{self, variable};
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::stateful_set::{Workload, config_files, mount, read_only_mount, scratch, secret_files};

const CONNECTION: &str = "/etc/kidp/connection";

/// The workload.
pub(super) fn workload(config: &MongodbConfig, scope: &Scope<'_>, config_checksum: String) -> Workload {
    Workload {
        replicas: REPLICAS,
        container: engine(config, scope),
        init_containers: Vec::new(),
        volumes: vec![
            config_files("config", scope.name("config")),
            secret_files(
                "connection",
                scope.secret(),
                &["username", "password", "database"],
            ),
            scratch("configdb"),
            scratch("tmp"),
        ],
        uid: config.uid,
        config_checksum,
        // What takes time is the last checkpoint, of up to half of the memory.
        termination_grace_period_seconds: 120,
    }
}

fn engine(config: &MongodbConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    Container {
        name: "mongodb".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        args: Some(vec!["--config".to_owned(), config::PATH.to_owned()]),
        env: Some(environment()),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(login()),
        readiness_probe: Some(container::readiness(hello())),
        liveness_probe: Some(container::liveness(hello())),
        volume_mounts: Some(vec![
            mount(DATA_VOLUME, "/data/db"),
            // A volume of the image, which only config servers use.
            mount("configdb", "/data/configdb"),
            read_only_mount("config", config::FOLDER),
            read_only_mount("connection", CONNECTION),
            mount("tmp", "/tmp"),
        ]),
        ..Container::default()
    }
}

/// The variables of the official image. The password is a file, never a value.
fn environment() -> Vec<EnvVar> {
    let address = EnvVar {
        name: "POD_IP".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "status.podIP".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    vec![
        address,
        // The shell writes its settings there; the image's own choice is the data folder.
        variable("HOME", "/tmp"),
        variable(
            "MONGO_INITDB_ROOT_USERNAME_FILE",
            &format!("{CONNECTION}/username"),
        ),
        variable(
            "MONGO_INITDB_ROOT_PASSWORD_FILE",
            &format!("{CONNECTION}/password"),
        ),
    ]
}

/// A login with the credentials that clients have, as soon as the server greets. Once is enough: a password does not
/// change by itself, and the shell that can log in is heavy.
fn login() -> Probe {
    let script = format!(
        "bash {folder}/hello.sh && exec mongosh --quiet --norc --host \"$POD_IP\" --port {port} {folder}/login.js",
        folder = config::FOLDER,
        port = PORT.number,
    );
    Probe {
        period_seconds: Some(2),
        timeout_seconds: Some(60),
        ..container::startup(container::exec(&["bash", "-c", &script]))
    }
}

fn hello() -> ExecAction {
    container::exec(&["bash", &format!("{}/hello.sh", config::FOLDER)])
}

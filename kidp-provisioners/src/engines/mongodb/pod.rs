//! Container, probes and volumes of a MongoDB pod.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ExecAction, ObjectFieldSelector, Probe};

use super::{MongodbConfig, PORT, config, members};
use crate::engines::tls;
use crate::resources::compute;
use crate::resources::container::{self, variable};
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::stateful_set::{
    Workload, config_files, memory, mount, read_only_mount, scratch, secret_files,
};

/// Volume of the certificate with its key.
const TOGETHER: &str = "together";
const CONNECTION: &str = "/etc/kidp/connection";

/// The workload.
pub(super) fn workload(config: &MongodbConfig, scope: &Scope<'_>, config_checksum: String) -> Workload {
    let is_set = members::wanted(scope.instance);
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files(
            "connection",
            scope.secret(),
            &["username", "password", "database"],
        ),
        scratch("configdb"),
        scratch("tmp"),
    ];
    volumes.extend(is_set.then(|| memory("run", 1)));
    if let Some(certificate) = tls::volume(scope) {
        // Not on the node's disk.
        volumes.extend([certificate, memory(TOGETHER, 1)]);
    }
    Workload {
        replicas: if is_set { members::COUNT } else { 1 },
        container: if is_set {
            member(config, scope)
        } else {
            engine(config, scope)
        },
        sidecars: Vec::new(),
        init_containers: join(config, scope).into_iter().collect(),
        volumes,
        uid: config.uid,
        config_checksum,
        // What takes time is the last checkpoint, of up to half of the memory.
        termination_grace_period_seconds: 120,
        spread: is_set,
    }
}

fn engine(config: &MongodbConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    let mut volume_mounts = vec![
        mount(DATA_VOLUME, "/data/db"),
        // A volume of the image, which only config servers use.
        mount("configdb", "/data/configdb"),
        read_only_mount("config", config::FOLDER),
        read_only_mount("connection", CONNECTION),
        mount("tmp", "/tmp"),
    ];
    if let Some(certificate) = tls::mount(scope) {
        volume_mounts.extend([certificate, read_only_mount(TOGETHER, config::TOGETHER)]);
    }
    Container {
        name: "mongodb".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        args: Some(vec!["--config".to_owned(), config::PATH.to_owned()]),
        env: Some(environment()),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(login(scope)),
        readiness_probe: Some(container::readiness(hello())),
        liveness_probe: Some(container::liveness(hello())),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

/// Puts certificate and key into one file before the server starts, where there is TLS.
fn join(config: &MongodbConfig, scope: &Scope<'_>) -> Option<Container> {
    let spec = &scope.instance.spec;
    let certificate = tls::mount(scope)?;
    Some(Container {
        name: "certificate".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), config::join()]),
        // The same as the server's: a pod is counted by the larger of the two, so that it costs nothing.
        resources: Some(compute::requirements(spec.size, config.request_share)),
        volume_mounts: Some(vec![certificate, mount(TOGETHER, config::TOGETHER)]),
        ..Container::default()
    })
}

/// A member of a set: the same server, told of the others.
fn member(config: &MongodbConfig, scope: &Scope<'_>) -> Container {
    let alone = engine(config, scope);
    let script = |name: &str| vec!["bash".to_owned(), format!("{}/{name}.sh", config::FOLDER)];
    let check = |name: &str| ExecAction {
        command: Some(script(name)),
    };
    let mut mounts = alone.volume_mounts.unwrap_or_default();
    mounts.push(mount("run", members::FOLDER));
    Container {
        command: Some(script("start")),
        args: None,
        env: Some(vec![
            field("POD_NAME", "metadata.name"),
            field("POD_IP", "status.podIP"),
            variable("HOME", "/tmp"),
            variable("DOMAIN", &members::domain(scope)),
            variable("MEMBERS", &members::names(scope).join(" ")),
            variable("SET_NAME", members::SET_NAME),
        ]),
        startup_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(60),
            ..container::startup(check("join"))
        }),
        readiness_probe: Some(Probe {
            // The first time, the shell logs in.
            timeout_seconds: Some(60),
            ..container::readiness(check("ready"))
        }),
        liveness_probe: Some(container::liveness(check("alive"))),
        volume_mounts: Some(mounts),
        ..alone
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// The variables of the official image. The password is a file, never a value.
fn environment() -> Vec<EnvVar> {
    vec![
        field("POD_IP", "status.podIP"),
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
fn login(scope: &Scope<'_>) -> Probe {
    // The name that clients connect to leads here only when the pod is ready; `hello.sh` has verified it.
    let verify = if tls::is_on(scope.instance) {
        format!("--tls --tlsCAFile {} --tlsAllowInvalidHostnames ", tls::ca())
    } else {
        String::new()
    };
    let script = format!(
        "bash {folder}/hello.sh && exec mongosh --quiet --norc {verify}--host \"$POD_IP\" --port {port} {folder}/login.js",
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

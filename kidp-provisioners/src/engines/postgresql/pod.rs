//! Container, probes and volumes of a PostgreSQL pod.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, ExecAction, Probe};

use super::{PORT, PostgresqlConfig, REPLICAS, config};
use crate::instance::Credentials;
use crate::resources::compute;
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::stateful_set::{
    Workload, config_files, memory, mount, read_only_mount, scratch, secret_files,
};

const DATA: &str = "/var/lib/postgresql/data";
const CONNECTION: &str = "/etc/kidp/connection";

/// The workload.
pub(super) fn workload(
    config: &PostgresqlConfig,
    scope: &Scope<'_>,
    credentials: &Credentials,
    config_checksum: String,
) -> Workload {
    // Room for parallel queries: an eighth of the memory, in which the segments are counted anyway.
    let shared_memory = scope.instance.spec.size.memory_bytes() / 8 / (1024 * 1024);
    Workload {
        replicas: REPLICAS,
        container: container(config, scope, credentials),
        volumes: vec![
            config_files("config", scope.name("config")),
            secret_files("connection", scope.secret(), &["password"]),
            memory("shm", shared_memory),
            scratch("run"),
            scratch("tmp"),
        ],
        uid: config.uid,
        config_checksum,
        // The image stops with SIGINT, PostgreSQL's fast shutdown; what takes time is the last checkpoint.
        termination_grace_period_seconds: 60,
    }
}

fn container(config: &PostgresqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> Container {
    let spec = &scope.instance.spec;
    Container {
        name: "postgresql".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        args: Some(vec!["-c".to_owned(), format!("config_file={}", config::PATH)]),
        env: Some(environment(credentials)),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.name.to_owned()),
            container_port: i32::from(PORT.number),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(startup(credentials)),
        readiness_probe: Some(readiness(credentials)),
        liveness_probe: Some(liveness(credentials)),
        volume_mounts: Some(vec![
            mount(DATA_VOLUME, DATA),
            read_only_mount("config", config::FOLDER),
            read_only_mount("connection", CONNECTION),
            mount("shm", "/dev/shm"),
            mount("run", "/var/run/postgresql"),
            mount("tmp", "/tmp"),
        ]),
        ..Container::default()
    }
}

/// The variables of the official image. The password is a file, never a value.
fn environment(credentials: &Credentials) -> Vec<EnvVar> {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    vec![
        // A folder below the mount point, which holds `lost+found` on many file systems.
        variable("PGDATA", &format!("{DATA}/pgdata")),
        variable("POSTGRES_USER", &credentials.username),
        variable("POSTGRES_DB", &credentials.database),
        variable("POSTGRES_PASSWORD_FILE", &format!("{CONNECTION}/password")),
        // Without --auth-host, initdb trusts 127.0.0.1, and the readiness probe's password would not be read.
        variable(
            "POSTGRES_INITDB_ARGS",
            "--auth-host=scram-sha-256 --data-checksums",
        ),
    ]
}

/// Every second, so that a database is ready when it is, and for as long as a crash recovery may take. Over TCP:
/// the server that runs the first initialisation listens on the socket only.
fn startup(credentials: &Credentials) -> Probe {
    Probe {
        exec: Some(is_accepting(credentials)),
        period_seconds: Some(1),
        timeout_seconds: Some(3),
        failure_threshold: Some(600),
        ..Probe::default()
    }
}

/// A query with the credentials that clients have, over TCP as they do it. The shell reads the password from its
/// file, so that it is in no argument and in no variable of the pod.
fn readiness(credentials: &Credentials) -> Probe {
    let script = format!(
        "PGPASSWORD=\"$(cat {CONNECTION}/password)\" PGCONNECT_TIMEOUT=3 \
         exec psql -h 127.0.0.1 -p {port} -U {user} -d {database} -w -qtAX -c 'select 1'",
        port = PORT.number,
        user = credentials.username,
        database = credentials.database,
    );
    Probe {
        exec: Some(command(&["sh", "-c", &script])),
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}

/// A minute without any answer. `pg_isready` needs no connection slot, so a database with too many clients is
/// not restarted for it.
fn liveness(credentials: &Credentials) -> Probe {
    Probe {
        exec: Some(is_accepting(credentials)),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        failure_threshold: Some(6),
        ..Probe::default()
    }
}

fn is_accepting(credentials: &Credentials) -> ExecAction {
    let port = PORT.number.to_string();
    command(&[
        "pg_isready",
        "-q",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-U",
        &credentials.username,
        "-d",
        &credentials.database,
    ])
}

fn command(words: &[&str]) -> ExecAction {
    ExecAction {
        command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
    }
}

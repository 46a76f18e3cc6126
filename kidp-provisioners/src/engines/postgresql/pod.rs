//! Container, probes and volumes of a PostgreSQL pod.

use k8s_openapi::api::core::v1::{Container, EnvVar, ExecAction};

use super::{PORT, PostgresqlConfig, REPLICAS, config};
use crate::instance::Credentials;
use crate::resources::compute;
use crate::resources::container::{self, variable};
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
        container: engine(config, scope, credentials),
        init_containers: Vec::new(),
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

fn engine(config: &PostgresqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> Container {
    let spec = &scope.instance.spec;
    Container {
        name: "postgresql".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        args: Some(vec!["-c".to_owned(), format!("config_file={}", config::PATH)]),
        env: Some(environment(credentials)),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        // Over TCP: the server that runs the first initialisation listens on the socket only.
        startup_probe: Some(container::startup(is_accepting(credentials))),
        readiness_probe: Some(container::readiness(answers_a_query(credentials))),
        // `pg_isready` needs no connection slot, so a database with too many clients is not restarted for it.
        liveness_probe: Some(container::liveness(is_accepting(credentials))),
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

/// A query with the credentials that clients have, over TCP as they do it. The shell reads the password from its
/// file, so that it is in no argument and in no variable of the pod.
fn answers_a_query(credentials: &Credentials) -> ExecAction {
    let script = format!(
        "PGPASSWORD=\"$(cat {CONNECTION}/password)\" PGCONNECT_TIMEOUT=3 \
         exec psql -h 127.0.0.1 -p {port} -U {user} -d {database} -w -qtAX -c 'select 1'",
        port = PORT.number,
        user = credentials.username,
        database = credentials.database,
    );
    container::exec(&["sh", "-c", &script])
}

fn is_accepting(credentials: &Credentials) -> ExecAction {
    let port = PORT.number.to_string();
    container::exec(&[
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

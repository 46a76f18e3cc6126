//! Containers, probes and volumes of a PostgreSQL pod.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, ExecAction};

use super::{PORT, PostgresqlConfig, REPLICAS, config};
use crate::engines::tls;
use crate::instance::Credentials;
use crate::resources::compute;
use crate::resources::container::{self, variable};
use crate::resources::meta::Scope;
use crate::resources::stateful_set::{
    Workload, config_files, memory, mount, read_only_mount, scratch, secret_files,
};
use crate::resources::{monitor, service};

const DATA: &str = "/var/lib/postgresql/data";
const CONNECTION: &str = "/etc/kidp/connection";

/// Where the exporter listens.
/// <https://github.com/prometheus-community/postgres_exporter#flags>
pub(super) const METRICS_PORT: u16 = 9187;

/// The workload.
pub(super) fn workload(
    config: &PostgresqlConfig,
    scope: &Scope<'_>,
    credentials: &Credentials,
    config_checksum: String,
) -> Workload {
    // Room for parallel queries: an eighth of the memory, in which the segments are counted anyway.
    let shared_memory = scope.instance.spec.size.memory_bytes() / 8 / (1024 * 1024);
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files("connection", scope.secret(), &["password"]),
        memory("shm", shared_memory),
        scratch("run"),
        scratch("tmp"),
    ];
    volumes.extend(tls::volume(scope));
    Workload {
        replicas: REPLICAS,
        container: engine(config, scope, credentials),
        sidecars: exporter(config, scope, credentials).into_iter().collect(),
        init_containers: Vec::new(),
        volumes,
        uid: config.uid,
        config_checksum,
        // The image stops with SIGINT, PostgreSQL's fast shutdown; what takes time is the last checkpoint.
        termination_grace_period_seconds: 60,
        spread: false,
    }
}

fn engine(config: &PostgresqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> Container {
    let spec = &scope.instance.spec;
    let mut volume_mounts = vec![
        mount(scope.data_volume(), DATA),
        read_only_mount("config", config::FOLDER),
        read_only_mount("connection", CONNECTION),
        mount("shm", "/dev/shm"),
        mount("run", "/var/run/postgresql"),
        mount("tmp", "/tmp"),
    ];
    volume_mounts.extend(tls::mount(scope));
    Container {
        name: "postgresql".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        args: Some(vec!["-c".to_owned(), format!("config_file={}", config::PATH)]),
        env: Some(environment(scope, credentials)),
        ports: Some(vec![port(scope)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        // Over TCP: the server that runs the first initialisation listens on the socket only.
        startup_probe: Some(container::startup(is_accepting(credentials))),
        readiness_probe: Some(container::readiness(answers_a_query(scope, credentials))),
        // `pg_isready` needs no connection slot, so a database with too many clients is not restarted for it.
        liveness_probe: Some(container::liveness(is_accepting(credentials))),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

/// `postgres_exporter`, where metrics are asked for. It puts its address together from what these say, and logs in over
/// TCP as the readiness probe does.
/// <https://github.com/prometheus-community/postgres_exporter#environment-variables>
fn exporter(config: &PostgresqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> Option<Container> {
    // The chain and not the name, which the client would take from the address.
    let mode = if tls::is_on(scope.instance) {
        format!("verify-ca&sslrootcert={}", tls::ca())
    } else {
        "disable".to_owned()
    };
    let address = format!(
        "127.0.0.1:{}/{}?sslmode={mode}",
        PORT.number, credentials.database
    );
    let mut volume_mounts = vec![read_only_mount("connection", CONNECTION)];
    volume_mounts.extend(tls::ca_mount(scope));
    monitor::is_on(scope).then(|| Container {
        env: Some(vec![
            variable("DATA_SOURCE_URI", &address),
            variable("DATA_SOURCE_USER", &credentials.username),
            variable("DATA_SOURCE_PASS_FILE", &format!("{CONNECTION}/password")),
        ]),
        volume_mounts: Some(volume_mounts),
        ..config.exporter.container(METRICS_PORT)
    })
}

/// What was taken over keeps the name of its port, by which Services of others lead to it.
fn port(scope: &Scope<'_>) -> ContainerPort {
    let port = container::port(&PORT);
    let kept = scope.adopted().and_then(|adopted| adopted.port_name.clone());
    ContainerPort {
        name: kept.or(port.name),
        ..port
    }
}

/// The variables of the official image. The password is a file, never a value.
fn environment(scope: &Scope<'_>, credentials: &Credentials) -> Vec<EnvVar> {
    vec![
        variable("PGDATA", &data_folder(scope)),
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

/// A folder below the mount point, which holds `lost+found` on many file systems. Data that was taken over stays where it
/// is on the volume.
fn data_folder(scope: &Scope<'_>) -> String {
    let adopted = scope.adopted().and_then(|adopted| adopted.data_folder.as_deref());
    match adopted {
        Some("") => DATA.to_owned(),
        folder => format!("{DATA}/{}", folder.unwrap_or("pgdata")),
    }
}

/// A query with the credentials that clients have, over TCP as they do it. The shell reads the password from its
/// file, so that it is in no argument and in no variable of the pod.
fn answers_a_query(scope: &Scope<'_>, credentials: &Credentials) -> ExecAction {
    let verify = if tls::is_on(scope.instance) {
        // The name that clients connect to, at this pod's own address.
        let host = service::host(scope);
        format!(
            "PGSSLMODE=verify-full PGSSLROOTCERT={} PGHOSTADDR=127.0.0.1 PGHOST={host} ",
            tls::ca()
        )
    } else {
        String::new()
    };
    let address = if verify.is_empty() { "-h 127.0.0.1 " } else { "" };
    let script = format!(
        "PGPASSWORD=\"$(cat {CONNECTION}/password)\" PGCONNECT_TIMEOUT=3 {verify}\
         exec psql {address}-p {port} -U {user} -d {database} -w -qtAX -c 'select 1'",
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

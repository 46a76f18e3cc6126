//! Containers, probes and volumes of a MySQL pod.
//!
//! # A first start that is cut off
//! The image's entrypoint takes a data folder with system tables for a finished one. If the pod dies between the making
//! of these and the making of the user, the next start serves a database that nobody can log in to, for ever. So an
//! init container leaves a mark before the folder is made, a script that the entrypoint runs last takes it away, and a
//! folder that still has its mark is made anew: no client has ever been let in. A folder without mark is never touched.

use k8s_openapi::api::core::v1::{Container, EnvVar, ExecAction, VolumeMount};

use super::{MysqlConfig, PORT, REPLICAS, config};
use crate::engines::{exporter, tls};
use crate::instance::Credentials;
use crate::resources::compute;
use crate::resources::container::{self, variable};
use crate::resources::meta::{DATA_VOLUME, Scope};
use crate::resources::monitor;
use crate::resources::stateful_set::{Workload, config_files, mount, read_only_mount, scratch, secret_files};

const VOLUME: &str = "/var/lib/mysql";
/// The data: below the mount point, which holds `lost+found` on many file systems, and which the server would take for
/// a database.
pub(super) const DATA_FOLDER: &str = "/var/lib/mysql/data";
/// There from before the data folder is made until its first start is over.
pub(super) const UNFINISHED: &str = "/var/lib/mysql/unfinished";
const CONNECTION: &str = "/etc/kidp/connection";
/// Folder of the server's socket.
const RUN: &str = "/var/run/mysqld";

/// Where the exporter listens.
const METRICS_PORT: u16 = 9104;
/// Entry of the Secret with what the exporter logs in by, as it reads it.
const EXPORTER_OPTIONS: &str = "exporter.cnf";
/// Collectors that it has on and that need rights over the whole server, which the instance's user has not.
const REFUSED_COLLECTORS: [&str; 4] = [
    "slave_status",
    "info_schema.innodb_cmp",
    "info_schema.innodb_cmpmem",
    "info_schema.query_response_time",
];

/// The workload.
pub(super) fn workload(
    config: &MysqlConfig,
    scope: &Scope<'_>,
    credentials: &Credentials,
    config_checksum: String,
) -> Workload {
    let mut volumes = vec![
        config_files("config", scope.name("config")),
        secret_files("connection", scope.secret(), &["password"]),
        scratch("run"),
        scratch("tmp"),
    ];
    volumes.extend(tls::volume(scope));
    if monitor::is_on(scope) {
        volumes.push(secret_files("exporter", scope.secret(), &[EXPORTER_OPTIONS]));
    }
    Workload {
        replicas: REPLICAS,
        container: engine(config, scope, credentials),
        sidecars: exporter(config, scope).into_iter().collect(),
        init_containers: vec![unfinished(config, scope)],
        volumes,
        uid: config.uid,
        config_checksum,
        // SIGTERM is a clean shutdown; what takes time is writing the buffer pool's changed pages.
        termination_grace_period_seconds: 120,
        spread: false,
    }
}

fn engine(config: &MysqlConfig, scope: &Scope<'_>, credentials: &Credentials) -> Container {
    let spec = &scope.instance.spec;
    let mut volume_mounts = vec![
        mount(DATA_VOLUME, VOLUME),
        // One file each: both folders are the image's own.
        file("config", config::OPTIONS, "/etc/mysql/conf.d"),
        file("config", config::INITIALISED, "/docker-entrypoint-initdb.d"),
        read_only_mount("connection", CONNECTION),
        mount("run", RUN),
        mount("tmp", "/tmp"),
    ];
    volume_mounts.extend(tls::mount(scope));
    Container {
        name: "mysql".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        env: Some(environment(credentials)),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, config.request_share)),
        startup_probe: Some(container::startup(answers())),
        readiness_probe: Some(container::readiness(answers_a_query(scope, credentials))),
        liveness_probe: Some(container::liveness(answers())),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

/// `mysqld_exporter`, where metrics are asked for. It comes over the socket, which counts as secure where TLS is required.
/// <https://github.com/prometheus/mysqld_exporter#running>
fn exporter(config: &MysqlConfig, scope: &Scope<'_>) -> Option<Container> {
    let without = REFUSED_COLLECTORS
        .iter()
        .map(|name| format!("--no-collect.{name}"));
    let options = format!("--config.my-cnf={}/{EXPORTER_OPTIONS}", exporter::FOLDER);
    monitor::is_on(scope).then(|| Container {
        args: Some(std::iter::once(options).chain(without).collect()),
        volume_mounts: Some(vec![
            read_only_mount("exporter", exporter::FOLDER),
            read_only_mount("run", RUN),
        ]),
        ..config.exporter.container(METRICS_PORT)
    })
}

/// What the Secret has for the exporter: it takes a password from an option file, or from a variable.
pub(super) fn exporter_entry(scope: &Scope<'_>, credentials: &Credentials) -> Option<(&'static str, String)> {
    let Credentials {
        username, password, ..
    } = credentials;
    let options = format!("[client]\nuser = {username}\npassword = {password}\nsocket = {RUN}/mysqld.sock\n");
    monitor::is_on(scope).then_some((EXPORTER_OPTIONS, options))
}

/// See the module's documentation.
fn unfinished(config: &MysqlConfig, scope: &Scope<'_>) -> Container {
    let spec = &scope.instance.spec;
    let script = format!(
        "set -eu\n\
         if [ -e {UNFINISHED} ]; then rm -rf {DATA_FOLDER}; fi\n\
         if [ ! -e {DATA_FOLDER} ]; then touch {UNFINISHED}; fi\n"
    );
    Container {
        name: "unfinished".to_owned(),
        image: Some(config.image.reference(&spec.version)),
        image_pull_policy: Some(config.image.pull_policy.as_str().to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), script]),
        // The same as the server's: a pod is counted by the larger of the two, so that it costs nothing.
        resources: Some(compute::requirements(spec.size, config.request_share)),
        volume_mounts: Some(vec![mount(DATA_VOLUME, VOLUME)]),
        ..Container::default()
    }
}

fn file(volume: &str, name: &str, folder: &str) -> VolumeMount {
    VolumeMount {
        sub_path: Some(name.to_owned()),
        ..read_only_mount(volume, &format!("{folder}/{name}"))
    }
}

/// The variables of the official image. Passwords are files, never values.
fn environment(credentials: &Credentials) -> Vec<EnvVar> {
    let password = format!("{CONNECTION}/password");
    vec![
        variable("MYSQL_USER", &credentials.username),
        variable("MYSQL_PASSWORD_FILE", &password),
        variable("MYSQL_DATABASE", &credentials.database),
        variable("MYSQL_ROOT_PASSWORD_FILE", &password),
        variable("MYSQL_ROOT_HOST", "localhost"),
    ]
}

/// Any answer, over TCP: the server that runs the first initialisation listens on the socket only. `mysqladmin ping`
/// takes a refusal for an answer, of the login and of one connection too many, so that a database with too many clients
/// is not restarted for it. <https://dev.mysql.com/doc/refman/8.4/en/mysqladmin.html>
fn answers() -> ExecAction {
    let port = PORT.number.to_string();
    container::exec(&[
        "mysqladmin",
        "--no-defaults",
        "--protocol=TCP",
        "-h",
        "127.0.0.1",
        "-P",
        &port,
        "--connect-timeout=3",
        "ping",
    ])
}

/// A query with the credentials that clients have, over TCP as they do it. The shell reads the password from its file
/// and passes it on as an option file through a pipe, so that it is in no argument and in no variable
/// (`MYSQL_PWD` is deprecated). `printf` is the shell's own.
fn answers_a_query(scope: &Scope<'_>, credentials: &Credentials) -> ExecAction {
    let verify = if tls::is_on(scope.instance) {
        // Not the name: the client would take it from the address.
        format!("--ssl-mode=VERIFY_CA --ssl-ca={} ", tls::ca())
    } else {
        String::new()
    };
    let script = format!(
        "printf '[client]\\npassword=%s\\n' \"$(cat {CONNECTION}/password)\" | \
         mysql --defaults-file=/dev/stdin --protocol=TCP -h 127.0.0.1 -P {port} -u {user} -D {database} \
         --connect-timeout=3 {verify}-N -B -e 'select 1'",
        port = PORT.number,
        user = credentials.username,
        database = credentials.database,
    );
    container::exec(&["sh", "-c", &script])
}

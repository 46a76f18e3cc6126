//! An engine of one's own: Valkey as a cache, rendered and run through the conformance kit.
//!
//! ```text
//! cargo run -p kidp-examples --example own_engine
//! ```
//! The image is the project's own: user 999, data in `/data`
//! (<https://github.com/valkey-io/valkey-container/blob/mainline/Dockerfile.template>).

use k8s_openapi::api::core::v1::Container;
use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_provisioners::conformance::{self, Samples};
use kidp_provisioners::engines::checks::{self, Limits};
use kidp_provisioners::engines::parameters::{Catalogue, Kind, Parameter};
use kidp_provisioners::engines::{Image, objects};
use kidp_provisioners::manifests::{BuildError, Manifests, Prepared};
use kidp_provisioners::resources::stateful_set::{self, Workload, mount, read_only_mount};
use kidp_provisioners::resources::{Scope, compute, config_map, container, secret, service};
use kidp_provisioners::{Capabilities, Connection, Credentials, Instance, Observed, Provisioner, Readiness};

const VALKEY: Engine = Engine::other("valkey");
const VERSIONS: [&str; 2] = ["8", "9"];
const PORT: service::Port = service::Port {
    name: "valkey",
    number: 6379,
    app_protocol: "redis",
};
const LIMITS: Limits = Limits {
    engine: "Valkey",
    min_storage: (256 << 20, "256Mi"),
    no_high_availability: Some("this Valkey has one member; set false"),
    no_tls: Some("TLS for Valkey is left to the reader; set false"),
    adopts: false,
    no_monitoring: Some("an exporter for Valkey is left to the reader; set false"),
    no_tls_with_members: None,
};
const CATALOGUE: Catalogue = Catalogue {
    engine: LIMITS.engine,
    accepted: &[Parameter {
        name: "maxmemory-policy",
        kind: Kind::Choice(&["allkeys-lru", "allkeys-lfu", "volatile-lru", "noeviction"]),
        restart: true,
    }],
    refused: &[(&["requirepass"], "the password is in the connection Secret")],
    dash_is_underscore: false,
    check: |_, _, _| None,
};

/// Writes the password from file to file, so that it is no argument and no variable of the pod.
const START: &str = r#"umask 077
printf 'requirepass %s\n' "$(cat /etc/kidp/connection/password)" > /run/kidp/auth.conf
exec valkey-server /etc/valkey/valkey.conf"#;
const PING: &str = r#"test "$(REDISCLI_AUTH="$(cat /etc/kidp/connection/password)" valkey-cli ping)" = PONG"#;

struct Valkey;

impl Provisioner for Valkey {
    fn engine(&self) -> Engine {
        VALKEY
    }

    fn resource_type(&self) -> ResourceType {
        ResourceType::Cache
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: VERSIONS.map(ToOwned::to_owned).to_vec(),
            high_availability: false,
            parameters: CATALOGUE.names(),
        }
    }

    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>> {
        let version = checks::version(LIMITS.engine, &VERSIONS, 2, &instance.spec.version);
        checks::validate(instance, &LIMITS, &CATALOGUE, version)
    }

    fn credentials(&self, _: &Instance, password: String) -> Credentials {
        Credentials::new("default", password, "0")
    }

    fn build(&self, instance: &Instance, login: &Credentials) -> Result<Manifests<Prepared>, BuildError> {
        let (scope, connection) = (Scope::new(instance), self.connection(instance));
        let (user, password, host) = (&login.username, &login.password, &connection.host);
        let uri = format!("redis://{user}:{password}@{host}:{}/0", PORT.number);
        let entries = secret::entries(&connection, login, uri);
        let files = [("valkey.conf".to_owned(), config(instance))].into();
        let workload = Workload {
            replicas: 1,
            container: server(instance),
            sidecars: Vec::new(),
            init_containers: Vec::new(),
            volumes: vec![
                stateful_set::config_files("config", scope.name("config")),
                stateful_set::secret_files("connection", scope.secret(), &["password"]),
                stateful_set::memory("run", 1),
            ],
            uid: 999,
            config_checksum: config_map::checksum(&files),
            termination_grace_period_seconds: 60,
            spread: false,
        };
        objects::manifests(&scope, &entries, files, &[PORT], workload)
    }

    fn readiness(&self, _: &Instance, observed: &Observed) -> Readiness {
        observed.rollout()
    }

    fn connection(&self, instance: &Instance) -> Connection {
        service::connection(&Scope::new(instance), &PORT)
    }
}

/// Three quarters of the memory are data: the rest is for copies while the log is written anew.
fn config(instance: &Instance) -> String {
    let data = instance.spec.size.memory_bytes() / 4 * 3;
    let mut text = format!("dir /data\nappendonly yes\nmaxmemory {data}\ninclude /run/kidp/auth.conf\n");
    let settings = CATALOGUE.settings([("maxmemory-policy", "allkeys-lru".to_owned())], &instance.spec);
    text.extend(settings.iter().map(|(name, value)| format!("{name} {value}\n")));
    text
}

fn server(instance: &Instance) -> Container {
    let spec = &instance.spec;
    Container {
        name: "valkey".to_owned(),
        image: Some(Image::official("valkey/valkey").reference(&spec.version)),
        command: Some(["sh", "-euc", START].map(ToOwned::to_owned).to_vec()),
        ports: Some(vec![container::port(&PORT)]),
        resources: Some(compute::requirements(spec.size, compute::RequestShare::default())),
        startup_probe: Some(container::startup(container::exec(&["sh", "-c", PING]))),
        readiness_probe: Some(container::readiness(container::exec(&["sh", "-c", PING]))),
        volume_mounts: Some(vec![
            mount("data", "/data"),
            mount("run", "/run/kidp"),
            read_only_mount("config", "/etc/valkey"),
            read_only_mount("connection", "/etc/kidp/connection"),
        ]),
        ..Container::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples = Samples::standard(&Valkey);
    let instance = samples.instances().first().ok_or("nothing is accepted")?;
    let login = Valkey.credentials(instance, "made-by-you".to_owned());
    print!("{}", Valkey.build(instance, &login)?.to_yaml_redacted()?);
    let report = conformance::check(&Valkey, &samples);
    eprintln!("{report}");
    let verdict = report.is_conformant().then_some(());
    verdict.ok_or_else(|| "not conformant".into())
}

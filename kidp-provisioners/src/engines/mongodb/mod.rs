//! MongoDB from the official image: a server alone, or a replica set of three members, their data on claims.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size
//! config.rs      mongod.conf from presets and parameters, and the scripts of the probes
//! pod.rs         container, probes and volumes
//! hello.sh       the protocol's greeting, as a probe
//! login.js       the first start is over when the login works
//! members.rs     a replica set: its members, and how it is made
//! ```
//!
//! With TLS, the port speaks nothing else. The server wants its certificate and key in one file, which an init container
//! makes in memory at each start, so that a renewed one starts the pod anew.
//!
//! A server alone has no oplog, and so neither transactions nor change streams; a replica set, which is what high
//! availability is here, has.

mod config;
mod members;
mod parameters;
mod pod;
mod presets;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_drift::{Change, Consequence};

use crate::consequence;
use crate::engines::{Image, checks, objects, tls};
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared, Wave};
use crate::observe::Observed;
use crate::provisioner::{Capabilities, Connection, Provisioner, Readiness};
use crate::resources::compute::RequestShare;
use crate::resources::meta::Scope;
use crate::resources::service::Port;
use crate::resources::{config_map, network_policy, service};

pub use crate::engines::parameters::{Kind, Parameter};
pub use parameters::PARAMETERS;

/// Major versions that are provisioned.
pub const VERSIONS: [&str; 3] = ["6", "7", "8"];

const PORT: Port = Port {
    name: "mongodb",
    number: 27017,
    app_protocol: "mongo",
};

/// The database that users are in; the image makes the first one there.
const AUTHENTICATION_DATABASE: &str = "admin";

/// Files that are read while pods run: those of probes.
const LIVE_FILES: [&str; 5] = ["hello.sh", "login.js", "ready.sh", "alive.sh", "ask.sh"];

/// What a platform team decides once, for every MongoDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongodbConfig {
    /// The image.
    pub image: Image,
    /// User and group of the image.
    pub uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
}

impl Default for MongodbConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/mongo"),
            uid: 999,
            request_share: RequestShare::default(),
        }
    }
}

/// The MongoDB provisioner.
#[derive(Clone, Debug, Default)]
pub struct Mongodb {
    config: MongodbConfig,
}

impl Mongodb {
    /// With settings of one's own; [`Mongodb::default`] takes the official image.
    pub fn new(config: MongodbConfig) -> Self {
        Self { config }
    }
}

impl Provisioner for Mongodb {
    fn engine(&self) -> Engine {
        Engine::Mongodb
    }

    fn resource_type(&self) -> ResourceType {
        ResourceType::Database
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: VERSIONS.map(ToOwned::to_owned).to_vec(),
            high_availability: true,
            parameters: parameters::CATALOGUE.names(),
        }
    }

    fn parameters(&self) -> &'static [Parameter] {
        parameters::CATALOGUE.accepted
    }

    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>> {
        validate::validate(instance)
    }

    /// Fixed names: what is inside an instance is told apart by the instance, and a name of letters needs
    /// quoting nowhere.
    fn credentials(&self, _instance: &Instance, password: String) -> Credentials {
        Credentials {
            username: "app".to_owned(),
            password,
            database: "app".to_owned(),
        }
    }

    fn build(
        &self,
        instance: &Instance,
        credentials: &Credentials,
    ) -> Result<Manifests<Prepared>, BuildError> {
        let scope = Scope::new(instance);
        let files = config::files(instance);
        let checksum = tls::checksum(instance, config_map::checksum(&files));
        let workload = pod::workload(&self.config, &scope, checksum);
        let is_set = members::wanted(instance);
        let between = is_set.then(|| network_policy::members(&scope, &[(PORT.number, PORT.number)]));
        objects::manifests(
            &scope,
            &self.connection_entries(&scope, credentials),
            files,
            &[PORT],
            workload,
        )?
        .with_option(Wave::Foundation, between.as_ref())
    }

    /// Within a major version only. The next major opens the data as well, but only while the feature compatibility
    /// version is its predecessor's, which an administrator raises by a command and which cannot be seen from here.
    /// <https://www.mongodb.com/docs/manual/release-notes/7.0-upgrade-standalone/#prerequisites>
    fn opens_data(&self, from: &str, to: &str) -> bool {
        VERSIONS
            .iter()
            .any(|major| checks::opens_forward(&[major], from, to))
    }

    /// What probes run is read anew each time.
    fn consequence(&self, instance: &Instance, change: &Change) -> Consequence {
        if consequence::is_live_file(change, &LIVE_FILES) {
            return Consequence::Reload;
        }
        consequence::of(self, instance, change)
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // A login has worked, and the readiness probe is answered by the server in service: of a set, the primary or a
        // secondary that has the data.
        observed.rollout()
    }

    fn connection(&self, instance: &Instance) -> Connection {
        let scope = Scope::new(instance);
        Connection {
            host: service::host(&scope),
            port: PORT.number,
            secret: scope.secret(),
        }
    }
}

impl Mongodb {
    fn connection_entries(
        &self,
        scope: &Scope<'_>,
        credentials: &Credentials,
    ) -> Vec<(&'static str, String)> {
        let Connection { host, port, .. } = self.connection(scope.instance);
        let Credentials {
            username,
            password,
            database,
        } = credentials;
        let (hosts, set) = if members::wanted(scope.instance) {
            (
                members::hosts(scope),
                format!("&replicaSet={}", members::SET_NAME),
            )
        } else {
            (format!("{host}:{port}"), String::new())
        };
        // <https://www.mongodb.com/docs/manual/reference/connection-string-options/#tls-options>
        let tls = if tls::is_on(scope.instance) {
            "&tls=true"
        } else {
            ""
        };
        let uri = format!(
            "mongodb://{username}:{password}@{hosts}/{database}?authSource={AUTHENTICATION_DATABASE}{set}{tls}"
        );
        let mut entries = vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            ("authentication-database", AUTHENTICATION_DATABASE.to_owned()),
            ("uri", uri),
        ];
        if members::wanted(scope.instance) {
            entries.extend([
                ("hosts", members::hosts(scope)),
                ("replica-set", members::SET_NAME.to_owned()),
            ]);
        }
        entries
    }
}

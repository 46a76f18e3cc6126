//! MongoDB from the official image: one member, its data on a claim.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size
//! config.rs      mongod.conf from presets and parameters, and the scripts of the probes
//! pod.rs         container, probes and volumes
//! hello.sh       the protocol's greeting, as a probe
//! login.js       the first start is over when the login works
//! ```
//!
//! The member is a standalone server: it has no oplog, and so neither transactions nor change streams. High
//! availability, a replica set, is refused: no test of this project could run one.

mod config;
mod parameters;
mod pod;
mod presets;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;

use crate::engines::{Image, checks, objects};
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared};
use crate::observe::Observed;
use crate::provisioner::{Capabilities, Connection, Provisioner, Readiness};
use crate::resources::compute::RequestShare;
use crate::resources::meta::Scope;
use crate::resources::service::Port;
use crate::resources::{config_map, service};

pub use crate::engines::parameters::{Kind, Parameter};
pub use parameters::PARAMETERS;

/// Major versions that are provisioned.
pub const VERSIONS: [&str; 3] = ["6", "7", "8"];

const PORT: Port = Port {
    name: "mongodb",
    number: 27017,
    app_protocol: "mongo",
};

/// One member: see the module's documentation on high availability.
const REPLICAS: i32 = 1;

/// The database that users are in; the image makes the first one there.
const AUTHENTICATION_DATABASE: &str = "admin";

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
            high_availability: false,
            parameters: parameters::CATALOGUE.names(),
        }
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
        let workload = pod::workload(&self.config, &scope, config_map::checksum(&files));
        objects::manifests(
            &scope,
            &self.connection_entries(&scope, credentials),
            files,
            &[PORT],
            workload,
        )
    }

    /// Within a major version only. The next major opens the data as well, but only while the feature compatibility
    /// version is its predecessor's, which an administrator raises by a command and which cannot be seen from here.
    /// <https://www.mongodb.com/docs/manual/release-notes/7.0-upgrade-standalone/#prerequisites>
    fn opens_data(&self, from: &str, to: &str) -> bool {
        VERSIONS
            .iter()
            .any(|major| checks::opens_forward(&[major], from, to))
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // The startup probe has logged in, and the readiness probe is answered by the server in service.
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
        vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            ("authentication-database", AUTHENTICATION_DATABASE.to_owned()),
            (
                "uri",
                format!(
                    "mongodb://{username}:{password}@{host}:{port}/{database}?authSource={AUTHENTICATION_DATABASE}"
                ),
            ),
        ]
    }
}

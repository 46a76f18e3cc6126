//! PostgreSQL from the official image: one member, its data on a claim, answering SQL over a Service.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size
//! config.rs      postgresql.conf from presets and parameters
//! pod.rs         container, probes and volumes
//! ```
//!
//! High availability is refused: PostgreSQL has no consensus of its own, and KIDP does not make one up.

mod config;
mod parameters;
mod pod;
mod presets;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;

use crate::engines::{Image, objects};
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
pub const VERSIONS: [&str; 3] = ["15", "16", "17"];

const PORT: Port = Port {
    name: "postgresql",
    number: 5432,
    app_protocol: "postgresql",
};

/// One member: see the module's documentation on high availability.
const REPLICAS: i32 = 1;

/// What a platform team decides once, for every PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresqlConfig {
    /// The image.
    pub image: Image,
    /// User and group of the image: 999 in the Debian image, 70 in the Alpine one.
    pub uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
}

impl Default for PostgresqlConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/postgres"),
            uid: 999,
            request_share: RequestShare::default(),
        }
    }
}

/// The PostgreSQL provisioner.
#[derive(Clone, Debug, Default)]
pub struct Postgresql {
    config: PostgresqlConfig,
}

impl Postgresql {
    /// With settings of one's own; [`Postgresql::default`] takes the official image.
    pub fn new(config: PostgresqlConfig) -> Self {
        Self { config }
    }
}

impl Provisioner for Postgresql {
    fn engine(&self) -> Engine {
        Engine::Postgresql
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
        let workload = pod::workload(&self.config, &scope, credentials, config_map::checksum(&files));
        objects::manifests(
            &scope,
            &self.connection_entries(&scope, credentials),
            files,
            &[PORT],
            workload,
        )
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // The readiness probe is a query with the credentials, so a ready pod is a usable database.
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

impl Postgresql {
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
            (
                "uri",
                format!("postgresql://{username}:{password}@{host}:{port}/{database}"),
            ),
            (
                "jdbc-uri",
                format!("jdbc:postgresql://{host}:{port}/{database}?user={username}&password={password}"),
            ),
            (
                "pgpass",
                format!("{host}:{port}:{database}:{username}:{password}\n"),
            ),
        ]
    }
}

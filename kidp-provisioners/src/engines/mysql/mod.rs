//! MySQL from the official image: one member, its data on a claim, answering SQL over a Service.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size
//! config.rs      the option file from presets and parameters, and the script that ends a first start
//! pod.rs         containers, probes and volumes
//! ```
//!
//! # Accounts
//! The application has `app`, with every right in its own database and none elsewhere. `root` exists on the pod's
//! socket only (`MYSQL_ROOT_HOST`), with the same password: whoever can open that socket can read the password's file
//! too. A random one of its own would be printed into the pod's log by the image's entrypoint.
//!
//! With TLS, the server refuses connections over TCP without it. MySQL reads its certificate at its start, so that a
//! renewed one starts the pod anew.
//!
//! High availability is refused: Group Replication needs a router and an operator, and KIDP does not make one up.

mod bind;
mod config;
mod parameters;
mod pod;
mod presets;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;

use crate::binding::Binder;
use crate::engines::parameters::Parameter;
use crate::engines::{Exporter, Image, checks, objects, tls};
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared};
use crate::observe::Observed;
use crate::provisioner::{Capabilities, Connection, Provisioner, Readiness};
use crate::resources::compute::RequestShare;
use crate::resources::meta::Scope;
use crate::resources::service::Port;
use crate::resources::{config_map, service};

pub use parameters::PARAMETERS;

/// Release series that are provisioned, in order; each is a tag of the official image.
pub const VERSIONS: [&str; 3] = ["8.0", "8.4", "9"];

const PORT: Port = Port {
    name: "mysql",
    number: 3306,
    app_protocol: "mysql",
};

/// One member: see the module's documentation on high availability.
const REPLICAS: i32 = 1;

/// What a platform team decides once, for every MySQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlConfig {
    /// The image.
    pub image: Image,
    /// User and group of the image.
    pub uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
    /// The image of `mysqld_exporter`, for instances that are asked for metrics.
    pub exporter: Exporter,
}

impl Default for MysqlConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/mysql"),
            uid: 999,
            request_share: RequestShare::default(),
            // <https://github.com/prometheus/mysqld_exporter/releases>
            exporter: Exporter::official("docker.io", "prom/mysqld-exporter", "v0.20.0"),
        }
    }
}

/// The MySQL provisioner.
#[derive(Clone, Debug, Default)]
pub struct Mysql {
    config: MysqlConfig,
}

impl Mysql {
    /// With settings of one's own; [`Mysql::default`] takes the official image.
    pub fn new(config: MysqlConfig) -> Self {
        Self { config }
    }
}

impl Provisioner for Mysql {
    fn engine(&self) -> Engine {
        Engine::Mysql
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

    fn parameters(&self) -> &'static [Parameter] {
        parameters::CATALOGUE.accepted
    }

    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>> {
        validate::validate(instance)
    }

    /// Fixed names, as for PostgreSQL: a name of letters needs quoting nowhere.
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
        let workload = pod::workload(&self.config, &scope, credentials, checksum);
        let mut connection = self.connection_entries(&scope, credentials);
        // Not in those of bindings: the exporter has the instance's own login.
        connection.extend(pod::exporter_entry(&scope, credentials));
        objects::manifests(&scope, &connection, files, &[PORT], workload)
    }

    /// The server upgrades the data of the series before its own at its start, and nothing brings it back.
    /// <https://dev.mysql.com/doc/refman/9.0/en/upgrade-paths.html>
    fn opens_data(&self, from: &str, to: &str) -> bool {
        checks::opens_forward(&VERSIONS, from, to)
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // The readiness probe is a query with the credentials, so a ready pod is a usable database.
        observed.rollout()
    }

    fn binder(&self) -> Option<&dyn Binder> {
        Some(self)
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

impl Mysql {
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
        // As MySQL's own clients and its driver for Java call it. The CA is `ca.crt`; where that is, only the client
        // knows.
        let (first, further) = if tls::is_on(scope.instance) {
            ("?ssl-mode=VERIFY_IDENTITY", "&sslMode=VERIFY_IDENTITY")
        } else {
            ("", "")
        };
        vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            (
                "uri",
                format!("mysql://{username}:{password}@{host}:{port}/{database}{first}"),
            ),
            (
                "jdbc-uri",
                format!("jdbc:mysql://{host}:{port}/{database}?user={username}&password={password}{further}"),
            ),
        ]
    }
}

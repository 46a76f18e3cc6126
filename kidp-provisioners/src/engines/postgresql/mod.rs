//! PostgreSQL: one member from the official image, its data on a claim; or three that CloudNativePG runs.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size
//! config.rs      postgresql.conf from presets and parameters
//! pod.rs         containers, probes and volumes
//! adopt.rs       what a StatefulSet must be like to be taken over
//! cluster.rs     three members, as a Cluster of CloudNativePG
//! ```
//!
//! With TLS, connections over it are the only ones that are let in. PostgreSQL reads its certificate at its start, so
//! that a renewed one starts the pod anew.
//!
//! # High availability
//! PostgreSQL has no consensus of its own, and KIDP does not make one up: `highAvailability` is delegated to
//! CloudNativePG, where it is installed, and refused where it is not. One member cannot become three, nor three one:
//! each has its data where the other does not look for it.

mod adopt;
mod bind;
mod cluster;
mod config;
mod parameters;
mod pod;
mod presets;
mod validate;

use async_trait::async_trait;
use kidp_core::instance::{Engine, InstanceSpec, ResourceType};
use kidp_core::problem::FieldError;
use kidp_drift::{Change, Consequence};
use kube::Client;

use crate::adoption::Adopter;
use crate::apply::ApplyError;
use crate::binding::Binder;
use crate::consequence;
use crate::engines::{Exporter, Image, objects, tls};
use crate::features::ClusterFeatures;
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared};
use crate::observe::{self, Observed};
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
    /// The image with failover: CloudNativePG's own, or one that meets its requirements
    /// (<https://cloudnative-pg.io/documentation/current/container_images/>). Tags are versions of PostgreSQL.
    pub ha_image: Image,
    /// User and group of that image; fixed when an instance is made.
    pub ha_uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
    /// The image of `postgres_exporter`, for instances that are asked for metrics; CloudNativePG has its own.
    pub exporter: Exporter,
}

impl Default for PostgresqlConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/postgres"),
            uid: 999,
            ha_image: Image {
                registry: "ghcr.io".to_owned(),
                ..Image::official("cloudnative-pg/postgresql")
            },
            ha_uid: 26,
            request_share: RequestShare::default(),
            // <https://github.com/prometheus-community/postgres_exporter/releases>
            exporter: Exporter::official("quay.io", "prometheuscommunity/postgres-exporter", "v0.20.1"),
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

#[async_trait]
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

    fn parameters(&self) -> &'static [Parameter] {
        parameters::CATALOGUE.accepted
    }

    fn capabilities_with(&self, features: ClusterFeatures) -> Capabilities {
        Capabilities {
            high_availability: features.cloudnative_pg,
            ..self.capabilities()
        }
    }

    fn validate(&self, instance: &Instance) -> Result<(), Vec<FieldError>> {
        validate::validate(instance)
    }

    /// Fixed names: what is inside an instance is told apart by the instance, and a name of letters needs
    /// quoting nowhere. What was taken over has its own.
    fn credentials(&self, instance: &Instance, password: String) -> Credentials {
        match &instance.adopted {
            Some(adopted) => Credentials::new(&adopted.username, password, &adopted.database),
            None => Credentials::new("app", password, "app"),
        }
    }

    fn build(
        &self,
        instance: &Instance,
        credentials: &Credentials,
    ) -> Result<Manifests<Prepared>, BuildError> {
        let scope = Scope::new(instance);
        let entries = self.connection_entries(&scope, credentials);
        if instance.spec.high_availability {
            return cluster::manifests(&self.config, &scope, credentials, &entries);
        }
        let files = config::files(instance);
        let checksum = tls::checksum(instance, config_map::checksum(&files));
        let workload = pod::workload(&self.config, &scope, credentials, checksum);
        objects::manifests(&scope, &entries, files, &[PORT], workload)
    }

    fn change_faults(&self, from: &InstanceSpec, to: &InstanceSpec) -> Vec<FieldError> {
        let changes = from.high_availability != to.high_availability;
        let say = "is fixed at creation: one member and three keep their data in different places; make a new \
                   instance and move the data";
        let fault = changes.then(|| FieldError::new("spec.highAvailability", say));
        fault.into_iter().collect()
    }

    fn consequence(&self, instance: &Instance, change: &Change) -> Consequence {
        if change.object.starts_with("Cluster/") {
            return cluster::consequence(self, change);
        }
        consequence::of(self, instance, change)
    }

    fn readiness(&self, instance: &Instance, observed: &Observed) -> Readiness {
        if instance.spec.high_availability && observed.workload.is_none() {
            return Readiness::Progressing("Cluster is not there yet".to_owned());
        }
        // The readiness probe is a query with the credentials, so a ready pod is a usable database. With failover,
        // CloudNativePG asks the servers.
        observed.rollout()
    }

    async fn observe(&self, client: &Client, instance: &Instance) -> Result<Observed, ApplyError> {
        if instance.spec.high_availability {
            observe::cluster(client, instance).await
        } else {
            observe::observe(client, instance).await
        }
    }

    fn adopter(&self) -> Option<&dyn Adopter> {
        Some(self)
    }

    fn binder(&self) -> Option<&dyn Binder> {
        Some(self)
    }

    fn connection(&self, instance: &Instance) -> Connection {
        let scope = Scope::new(instance);
        let host = if instance.spec.high_availability {
            cluster::host(&scope)
        } else {
            service::host(&scope)
        };
        Connection {
            host,
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
        // The CA is `ca.crt`; where that is, only the client knows: `PGSSLROOTCERT`, or the driver's own option.
        let (first, further) = if tls::is_on(scope.instance) {
            ("?sslmode=verify-full", "&sslmode=verify-full")
        } else {
            ("", "")
        };
        let mut entries = vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            (
                "uri",
                format!("postgresql://{username}:{password}@{host}:{port}/{database}{first}"),
            ),
            (
                "jdbc-uri",
                format!(
                    "jdbc:postgresql://{host}:{port}/{database}?user={username}&password={password}{further}"
                ),
            ),
            (
                "pgpass",
                format!("{host}:{port}:{database}:{username}:{password}\n"),
            ),
        ];
        if scope.instance.spec.high_availability {
            let host = cluster::standby_host(scope);
            let uri = format!("postgresql://{username}:{password}@{host}:{port}/{database}");
            entries.extend([("host-ro", host), ("uri-ro", uri)]);
        }
        entries
    }
}

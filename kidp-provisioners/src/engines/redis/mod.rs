//! Redis from the official image: one member, or three with Sentinel, their data on claims, answering RESP over a
//! Service.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! config.rs      redis.conf from presets and parameters
//! acl.rs         who may do what, from the password in the Secret
//! pod.rs         containers, probes and volumes of a server alone
//! metrics.rs     the exporter beside each server
//! members.rs     three members: Sentinels, routers, and how all that finds its master
//! ```
//!
//! The same engine serves two kinds of request. A `Cache` evicts the least recently used keys when it is full; a
//! `Database` evicts nothing and answers writes with an error. Everything else is the same, and both keep their data
//! over a restart.
//!
//! With TLS, the port speaks nothing else. Redis reads its certificate at its start, so that a renewed one starts the pod
//! anew.
//!
//! With high availability there are three members, see `members.rs`. One member can become three, and keeps its data
//! and its address; three cannot become one, whose volume may not be the one with the latest data.

mod acl;
mod config;
mod members;
mod metrics;
mod parameters;
mod pod;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_drift::{Change, Consequence};

use crate::consequence;
use crate::engines::parameters::Parameter;
use crate::engines::{Exporter, Image, checks, objects, tls};
use crate::instance::{Credentials, Instance};
use crate::manifests::{BuildError, Manifests, Prepared, Wave};
use crate::observe::Observed;
use crate::provisioner::{Capabilities, Connection, Provisioner, Readiness};
use crate::resources::compute::RequestShare;
use crate::resources::meta::Scope;
use crate::resources::service::Port;
use crate::resources::{config_map, network_policy, service};

pub use parameters::PARAMETERS;

/// Major versions that are provisioned, in order.
pub const VERSIONS: [&str; 2] = ["7", "8"];

const PORT: Port = Port {
    name: "redis",
    number: 6379,
    app_protocol: "redis",
};

const SENTINEL_PORT: Port = Port {
    name: "sentinel",
    number: 26379,
    app_protocol: "redis",
};

/// What Sentinels and their clients call the set: the name that Redis's own documentation uses, which some clients have
/// as their default.
const MASTER_NAME: &str = "mymaster";

/// Files that are read while pods run: a probe and a hook of several members.
const LIVE_FILES: [&str; 2] = ["ready.sh", "leave.sh"];

/// What a platform team decides once, for every Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// The image.
    pub image: Image,
    /// User and group of the image: 999 in the Debian image and in the Alpine one.
    pub uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
    /// The image of `HAProxy`, which leads clients to the master of three members.
    pub router: Image,
    /// Its version.
    pub router_version: String,
    /// The image of `redis_exporter`, for instances that are asked for metrics.
    pub exporter: Exporter,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/redis"),
            uid: 999,
            request_share: RequestShare::default(),
            router: Image::official("library/haproxy"),
            // Maintained until 2029. <https://www.haproxy.org/>
            router_version: "3.0".to_owned(),
            // <https://github.com/oliver006/redis_exporter/releases>
            exporter: Exporter::official("docker.io", "oliver006/redis_exporter", "v1.91.1"),
        }
    }
}

/// The Redis provisioner, for one kind of resource.
#[derive(Clone, Debug)]
pub struct Redis {
    resource_type: ResourceType,
    config: RedisConfig,
}

impl Redis {
    /// For requests of kind `Cache`, with the official image.
    pub fn cache() -> Self {
        Self::new(ResourceType::Cache, RedisConfig::default())
    }

    /// For requests of kind `Database`, with the official image.
    pub fn database() -> Self {
        Self::new(ResourceType::Database, RedisConfig::default())
    }

    /// With settings of one's own.
    pub fn new(resource_type: ResourceType, config: RedisConfig) -> Self {
        Self {
            resource_type,
            config,
        }
    }
}

impl Provisioner for Redis {
    fn engine(&self) -> Engine {
        Engine::Redis
    }

    fn resource_type(&self) -> ResourceType {
        self.resource_type
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

    /// The user `default`, so that clients which know a password only log in too, and the first of the numbered
    /// databases.
    fn credentials(&self, _instance: &Instance, password: String) -> Credentials {
        Credentials {
            username: "default".to_owned(),
            password,
            database: "0".to_owned(),
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
        let mut connection = self.connection_entries(&scope, credentials);
        connection.extend(metrics::entry(&scope, credentials));
        if !members::wanted(instance) {
            let workload = pod::workload(&self.config, &scope, checksum);
            return objects::manifests(&scope, &connection, files, &[PORT], workload);
        }
        let workload = members::workload(&self.config, &scope, checksum);
        let between = [PORT, SENTINEL_PORT].map(|port| (port.number, port.number));
        objects::manifests(&scope, &connection, files, &[PORT, SENTINEL_PORT], workload)?
            .with(Wave::Foundation, &network_policy::members(&scope, &between))?
            .with(
                Wave::Foundation,
                &network_policy::clients(&scope, "router", &[members::ROUTER_PORT]),
            )
    }

    /// A newer server reads the files of an older one; an older one refuses a newer format.
    fn opens_data(&self, from: &str, to: &str) -> bool {
        checks::opens_forward(&VERSIONS, from, to)
    }

    /// What probes and hooks run is read anew each time.
    fn consequence(&self, instance: &Instance, change: &Change) -> Consequence {
        if consequence::is_live_file(change, &LIVE_FILES) {
            return Consequence::Reload;
        }
        consequence::of(self, instance, change)
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // The readiness probe is an authenticated PING, which a server that loads its data does not answer with PONG. Of
        // three members, each is in sync, has a quorum, and finds a master that takes writes.
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

impl Redis {
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
        // <https://www.iana.org/assignments/uri-schemes/prov/rediss>
        let scheme = if tls::is_on(scope.instance) {
            "rediss"
        } else {
            "redis"
        };
        let mut entries = vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            // <https://www.iana.org/assignments/uri-schemes/prov/redis>
            (
                "uri",
                format!("{scheme}://{username}:{password}@{host}:{port}/{database}"),
            ),
        ];
        entries.extend(members::connection_entries(scope));
        entries
    }
}

//! RabbitMQ from the official image: one node, or three in a cluster with replicated queues.
//!
//! ```text
//! validate.rs    what is accepted, and what is refused by name
//! parameters.rs  the list of accepted engine parameters, with types and ranges
//! presets.rs     settings by size, storage and number of nodes
//! config.rs      rabbitmq.conf and enabled_plugins, the login's file, the scripts
//! pod.rs         containers, probes and volumes
//! prepare.sh     before a node starts: its cookie, and its name in DNS
//! ready.sh       a client's handshake, as a probe
//! joined.sh      the first start in a cluster is over when every node is a member
//! ```
//!
//! # Names of nodes
//! A node is `rabbit@<pod>.<headless Service>.<namespace>.svc`. The name is part of its data, so it is the same for
//! one node and for three, and without the cluster's domain, which is not ours to know.
//!
//! # TLS
//! Clients are served over TLS alone, with the management plugin too. A renewed certificate is served within minutes,
//! without a restart: the server reads the files again for new connections, and forgets what it has read after two
//! minutes (<https://www.erlang.org/doc/apps/ssl/ssl_app>, `ssl_pem_cache_clean`). What nodes say to each other is not
//! encrypted.
//!
//! # High availability
//! Three nodes, whose metadata and quorum queues are replicated by RabbitMQ's own consensus. They find each other
//! through the peer discovery for Kubernetes, which from RabbitMQ 4.1 on asks no API server: node 0 forms the
//! cluster, and the others join it, however long it takes (<https://www.rabbitmq.com/blog/2025/04/04/new-k8s-peer-discovery>).
//! Queues that are declared without a type are quorum queues, on a single node as well: one node can become three, and
//! its queues then get members on the others. Queues that were declared as classic stay on the node that they are on.
//! Three nodes cannot become one: those that are left out would be missed for a majority.

mod bind;
mod config;
mod parameters;
mod pod;
mod presets;
mod validate;

use kidp_core::instance::{Engine, ResourceType};
use kidp_core::problem::FieldError;
use kidp_core::revision::Revision;
use kidp_drift::{Change, Consequence};

use crate::binding::Binder;
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

/// Render revision from which on the nodes of a cluster keep to different machines and zones, where there are any. A
/// single node is rendered the same in both.
const SPREAD_SINCE: Revision = Revision::new(2);

/// Major versions that are provisioned.
pub const VERSIONS: [&str; 1] = ["4"];

const AMQP: Port = Port {
    name: "amqp",
    number: 5672,
    app_protocol: "amqp",
};

/// The same over TLS.
const AMQPS: Port = Port {
    name: "amqps",
    number: 5671,
    app_protocol: "amqps",
};

/// Of the management plugin, where it is enabled.
const MANAGEMENT: Port = Port {
    name: "management",
    number: 15672,
    app_protocol: "http",
};

/// The same over TLS.
const MANAGEMENT_TLS: Port = Port {
    name: "management-tls",
    number: 15671,
    app_protocol: "https",
};

/// What nodes connect to each other by: the port mapper, Erlang's distribution, and the replication of streams.
/// <https://www.rabbitmq.com/docs/networking#ports>
const BETWEEN_NODES: [(u16, u16); 3] = [(4369, 4369), (25672, 25672), (6000, 6500)];

/// Nodes with `highAvailability: true`: the fewest that lose one and still have a majority.
const NODES: i32 = 3;

/// Files that are read while pods run: those of probes.
const LIVE_FILES: [&str; 2] = ["ready.sh", "joined.sh"];

/// What a platform team decides once, for every RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RabbitmqConfig {
    /// The image.
    pub image: Image,
    /// User and group of the image: 999 in the Debian image, 100 in the Alpine one.
    pub uid: i64,
    /// What pods reserve of their limits.
    pub request_share: RequestShare,
}

impl Default for RabbitmqConfig {
    fn default() -> Self {
        Self {
            image: Image::official("library/rabbitmq"),
            uid: 999,
            request_share: RequestShare::default(),
        }
    }
}

/// The RabbitMQ provisioner.
#[derive(Clone, Debug, Default)]
pub struct Rabbitmq {
    config: RabbitmqConfig,
}

impl Rabbitmq {
    /// With settings of one's own; [`Rabbitmq::default`] takes the official image.
    pub fn new(config: RabbitmqConfig) -> Self {
        Self { config }
    }
}

impl Provisioner for Rabbitmq {
    fn engine(&self) -> Engine {
        Engine::Rabbitmq
    }

    fn resource_type(&self) -> ResourceType {
        ResourceType::MessageQueue
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

    /// The database is a virtual host; every server has `/`.
    fn credentials(&self, _instance: &Instance, password: String) -> Credentials {
        Credentials {
            username: "app".to_owned(),
            password,
            database: "/".to_owned(),
        }
    }

    fn latest_revision(&self) -> Revision {
        SPREAD_SINCE
    }

    fn build(
        &self,
        instance: &Instance,
        credentials: &Credentials,
    ) -> Result<Manifests<Prepared>, BuildError> {
        let scope = Scope::new(instance);
        let ports = ports(instance);
        let files = config::files(instance);
        let workload = pod::workload(&self.config, &scope, &ports, config_map::checksum(&files));
        let members = (nodes(instance) > 1).then(|| network_policy::members(&scope, &BETWEEN_NODES));
        objects::manifests(
            &scope,
            &self.connection_entries(&scope, credentials),
            files,
            &ports,
            workload,
        )?
        .with_option(Wave::Foundation, members.as_ref())
    }

    /// Data of a newer minor version is not opened by an older one: it may hold what its feature flags allowed.
    /// <https://www.rabbitmq.com/docs/feature-flags>
    fn opens_data(&self, from: &str, to: &str) -> bool {
        checks::opens_forward(&VERSIONS, from, to)
    }

    /// What probes run is read anew each time, and so is a renewed certificate.
    fn consequence(&self, instance: &Instance, change: &Change) -> Consequence {
        let is_live = consequence::is_live_file(change, &LIVE_FILES);
        let is_certificate =
            change.object.starts_with("Certificate/") && consequence::is_below(&change.path, "spec");
        if is_live || is_certificate {
            return Consequence::Reload;
        }
        consequence::of(self, instance, change)
    }

    fn readiness(&self, _instance: &Instance, observed: &Observed) -> Readiness {
        // A node is ready when a client's handshake succeeds on it; in a cluster, every node has joined before.
        observed.rollout()
    }

    fn binder(&self) -> Option<&dyn Binder> {
        Some(self)
    }

    fn connection(&self, instance: &Instance) -> Connection {
        let scope = Scope::new(instance);
        Connection {
            host: service::host(&scope),
            port: amqp(instance).number,
            secret: scope.secret(),
        }
    }
}

impl Rabbitmq {
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
        // <https://www.rabbitmq.com/docs/uri-spec>
        let scheme = if tls::is_on(scope.instance) {
            "amqps"
        } else {
            "amqp"
        };
        vec![
            ("host", host.clone()),
            ("port", port.to_string()),
            ("username", username.clone()),
            ("password", password.clone()),
            ("database", database.clone()),
            ("virtual-host", database.clone()),
            (
                "uri",
                format!(
                    "{scheme}://{username}:{password}@{host}:{port}/{}",
                    database.replace('/', "%2F")
                ),
            ),
            (config::LOGIN, config::login(credentials)),
        ]
    }
}

/// How many nodes there are.
fn nodes(instance: &Instance) -> i32 {
    if instance.spec.high_availability { NODES } else { 1 }
}

/// Where clients send their messages.
fn amqp(instance: &Instance) -> Port {
    if tls::is_on(instance) { AMQPS } else { AMQP }
}

/// What clients connect to.
fn ports(instance: &Instance) -> Vec<Port> {
    let mut ports = vec![amqp(instance)];
    if config::plugins(instance).contains(config::MANAGEMENT_PLUGIN) {
        ports.push(if tls::is_on(instance) {
            MANAGEMENT_TLS
        } else {
            MANAGEMENT
        });
    }
    ports
}

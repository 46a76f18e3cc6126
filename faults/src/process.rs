//! The two programs, each as it starts: nothing in memory but what it reads.
//!
//! What runs is the real code: the operator's reconciler, routes of changes and callback receiver, and the broker's API,
//! controller and outbox. In place of `kube`'s scheduler the driver decides when each runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kidp_broker::auth::{Access, Authenticator};
use kidp_broker::bindings::Bindings;
use kidp_broker::features::Features;
use kidp_broker::rate_limit::RateLimits;
use kidp_broker::records::Records;
use kidp_broker::tombstones::Tombstones;
use kidp_broker::{Broker as BrokerState, Reachability, controller};
use kidp_callback::{Sender, SigningKey, UrlPolicy};
use kidp_core::crd::{Broker, Database, ServiceInstance, Team};
use kidp_operator::backoff::Attempts;
use kidp_operator::broker::orphans::{OrphanData, OrphanPolicy, Settings};
use kidp_operator::broker::{Connections, HealthBoard, OrphanBoard, OwnCredentials};
use kidp_operator::cache::{Writers, caches};
use kidp_operator::config::Waits;
use kidp_operator::context::Context;
use kidp_operator::metrics::Metrics;
use kidp_operator::placements::Placements;
use kidp_operator::queues::{Queues, Receivers, queues};
use kidp_operator::receiver::{self, Receiver};
use kidp_provisioners::{ClusterFeatures, Registry};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Lookup;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::sim::{BROKERS, Life, OPERATOR, Sim};
use crate::wire;

/// Where brokers are told to call back.
pub const CALLBACK_URL: &str = "http://operator:9090/v1/callback";

/// Powers of two, so that the driver can take the jitter out of them.
const WAITS: Waits = Waits {
    poll_min: Duration::from_secs(1),
    poll_max: Duration::from_secs(16),
    backoff_max: Duration::from_secs(64),
    resync: Duration::from_secs(256),
};

/// Brokers are not looked at for orphans: their health checks are outside of the model.
const ORPHANS: Settings = Settings {
    operator_id: None,
    policy: OrphanPolicy::Report,
    data: OrphanData::Retain,
    grace: Duration::from_mins(10),
    every: Duration::from_mins(5),
    namespace: None,
};

/// The signing key of a broker.
pub fn key(broker: &str) -> SigningKey {
    SigningKey::from_seed(&[broker.bytes().next().unwrap_or_default(); 32])
}

/// The operator.
pub struct Operator {
    /// Its life.
    pub life: Life,
    /// What its reconcilers share.
    pub context: Arc<Context>,
    /// What it knows of the management cluster.
    pub writers: Writers,
    /// What callbacks hint at.
    pub receivers: Receivers,
    /// When each object is looked at next, in milliseconds of the run.
    pub due: BTreeMap<String, u64>,
    _leading: watch::Sender<bool>,
    _queues: Queues,
}

impl Operator {
    /// Starts it: lists everything and looks at every object.
    pub fn start(sim: &Sim, plain: &reqwest::Client) -> Self {
        let life = Life::new(OPERATOR);
        let client = wire::client(sim, &life, "management");
        let (readers, mut writers) = caches();
        let (queues, receivers) = queues();
        let (leading, leads) = watch::channel(true);
        let clock = sim.clock(OPERATOR);
        let receiver = Receiver::new(readers.clone(), queues.clone(), leads).with_clock(clock.clone());
        let reporter = Reporter {
            controller: "kidp-operator".to_owned(),
            instance: None,
        };
        let http = wire::http(sim, &life, plain);
        let context = Context {
            caches: readers,
            clock,
            waits: WAITS,
            team_namespaces: false,
            callback_url: Some(CALLBACK_URL.to_owned()),
            connections: Connections::new(
                http,
                client.clone(),
                Duration::from_secs(10),
                OwnCredentials::default(),
            ),
            health: HealthBoard::default(),
            orphans: OrphanBoard::new(ORPHANS),
            placements: Placements::default(),
            polls: Attempts::default(),
            failures: Attempts::default(),
            metrics: Metrics::default(),
            costs: None,
            recorder: Recorder::new(client.clone(), reporter),
            client,
        };
        let mut state = sim.state();
        let now = state.now();
        let databases: Vec<Database> = all(&state.management, "databases");
        let due = databases
            .iter()
            .map(|db| (db.metadata.name.clone().unwrap_or_default(), now));
        let due = due.collect();
        list(&mut writers.databases, databases);
        list(&mut writers.teams, all::<Team>(&state.management, "teams"));
        list(&mut writers.brokers, all::<Broker>(&state.management, "brokers"));
        state
            .hosts
            .insert(OPERATOR, (receiver::app(receiver), life.clone()));
        drop(state);
        Self {
            life,
            context: Arc::new(context),
            writers,
            receivers,
            due,
            _leading: leading,
            _queues: queues,
        }
    }
}

/// A broker.
pub struct BrokerProcess {
    /// Its life.
    pub life: Life,
    /// What its reconciles share.
    pub context: Arc<controller::Context>,
    /// What it knows of its records.
    pub records: BTreeMap<String, Arc<ServiceInstance>>,
    /// When each record is looked at next, in milliseconds of the run.
    pub due: BTreeMap<String, u64>,
}

impl BrokerProcess {
    /// Starts it: lists its records and looks at every one.
    pub fn start(sim: &Sim, name: &'static str, plain: &reqwest::Client) -> Self {
        let life = Life::new(name);
        let client = wire::client(sim, &life, name);
        let features = Features::fixed(ClusterFeatures::default());
        let callback_urls = UrlPolicy::new(&[CALLBACK_URL]).unwrap_or_default();
        let key = key(name);
        let tombstones = Tombstones::new(client.clone(), "kidp-broker");
        let state = BrokerState {
            name: name.to_owned(),
            client: client.clone(),
            records: Records::new(client.clone(), name).with_tombstones(tombstones.clone()),
            bindings: Bindings::new(client.clone(), name),
            registry: Registry::standard(),
            features: features.clone(),
            callback_urls: callback_urls.clone(),
            keys: key.clone().into(),
            access: Access {
                authenticator: Authenticator::default(),
                policy: None,
                limits: RateLimits::new(0),
            },
            reachability: Reachability::default(),
            metrics: kidp_broker::metrics::Metrics::default(),
            in_flight: Semaphore::new(64),
            request_timeout: Duration::from_secs(10),
        };
        let sender = Sender::over(wire::http(sim, &life, plain), sim.clock(name), key, name);
        let registry = Registry::standard();
        let stop = CancellationToken::new();
        let context = controller::Context::new(name, client, registry, features, sender, callback_urls, stop);
        context.heed(tombstones);
        let mut shared = sim.state();
        shared
            .hosts
            .insert(name, (kidp_broker::app(Arc::new(state)), life.clone()));
        let now = shared.now();
        let records: Vec<ServiceInstance> = all(shared.cluster(name), "serviceinstances");
        let named = |record: &ServiceInstance| record.metadata.name.clone().unwrap_or_default();
        Self {
            life,
            context,
            due: records.iter().map(|r| (named(r), now)).collect(),
            records: records.into_iter().map(|r| (named(&r), Arc::new(r))).collect(),
        }
    }
}

/// Every object of a kind.
pub fn all<K: DeserializeOwned>(api: &Api, plural: &str) -> Vec<K> {
    api.of(plural)
        .filter_map(|(_, stored)| typed(&stored.value))
        .collect()
}

/// An object as the program knows it.
pub fn typed<K: DeserializeOwned>(value: &Value) -> Option<K> {
    serde_json::from_value(value.clone()).ok()
}

/// Fills a store as a list does.
pub fn list<K: Lookup<DynamicType = ()> + Clone + 'static>(writer: &mut Writer<K>, objects: Vec<K>) {
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

/// The objects that every run begins with.
pub fn furnish(sim: &Sim) {
    let mut state = sim.state();
    let (now, wall) = (state.now(), state.wall("server"));
    let team = serde_json::json!({"apiVersion": "platform.company.com/v1", "kind": "Team",
        "metadata": {"name": "payments", "namespace": "shop"}, "spec": {"displayName": "Payments", "owners": ["ada"]}});
    state.management.put("teams", team, now, wall);
    for (name, priority) in BROKERS.iter().zip([101, 100]) {
        let broker = serde_json::json!({"apiVersion": "platform.company.com/v1", "kind": "Broker",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"endpoint": format!("http://{name}:8082"), "region": "eu", "cloudProvider": "metal",
                "priority": priority, "capabilities": [{"resourceType": "Database", "providers": ["postgresql"]}]},
            "status": {"phase": "Ready", "callbackPublicKey": key(name).public().to_string()}});
        state.management.put("brokers", broker, now, wall);
    }
    state.management.log.clear();
}

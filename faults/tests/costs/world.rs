//! Operator and brokers over the model, without faults, and with the operator's clock in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kidp_broker::controller;
use kidp_core::clock::Clock;
use kidp_core::crd::{
    Database, PriceBook, PriceBookSpec, ServiceInstance, Team, Tenant, UsageRecord, UsageRecordSpec,
};
use kidp_faults::campaign;
use kidp_faults::process::{BrokerProcess, Operator, all, furnish, list};
use kidp_faults::sim::{BROKERS, Sim};
use kidp_operator::costs::{CostWriters, Costs};
use kidp_operator::{resource, tenancy};
use serde_json::{Value, json};

/// Most turns until all is settled.
const TURNS: usize = 300;

pub struct World {
    sim: Sim,
    plain: reqwest::Client,
    operator: Operator,
    costs: CostWriters,
    brokers: Vec<BrokerProcess>,
    time: Arc<AtomicI64>,
}

fn operator(sim: &Sim, plain: &reqwest::Client, time: &Arc<AtomicI64>) -> (Operator, CostWriters) {
    let mut operator = Operator::start(sim, plain);
    let (costs, writers) = Costs::new("standard", None, SignedDuration::from_hours(24 * 400));
    let context = Arc::get_mut(&mut operator.context).unwrap();
    let time = Arc::clone(time);
    context.clock = Clock::new(move || Timestamp::from_second(time.load(Ordering::SeqCst)).unwrap());
    context.costs = Some(costs);
    (operator, writers)
}

impl World {
    pub fn new() -> Self {
        let (sim, plain, time) = (Sim::new(&[], None), campaign::plain().unwrap(), Arc::default());
        furnish(&sim);
        let (operator, costs) = operator(&sim, &plain, &time);
        let brokers = BROKERS
            .iter()
            .map(|name| BrokerProcess::start(&sim, name, &plain))
            .collect();
        let mut world = Self {
            sim,
            plain,
            operator,
            costs,
            brokers,
            time,
        };
        world.list();
        world
    }

    /// Sets the operator's clock.
    pub fn at(&self, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        self.time.store(time.as_second(), Ordering::SeqCst);
    }

    pub fn put(&self, plural: &str, name: &str, spec: &Value) {
        let kind = match plural {
            "pricebooks" => "PriceBook",
            "teams" => "Team",
            "tenants" => "Tenant",
            _ => "Database",
        };
        let mut metadata = json!({"name": name});
        if plural != "pricebooks" {
            metadata["namespace"] = "shop".into();
        }
        let object = json!({"apiVersion": "platform.company.com/v1", "kind": kind, "metadata": metadata, "spec": spec});
        let mut state = self.sim.state();
        let (now, wall) = (state.now(), state.wall("server"));
        state.management.put(plural, object, now, wall);
    }

    pub fn create(&self, name: &str, team: &str, size: &str) {
        let spec = json!({"owner": {"kind": "Team", "name": team}, "engine": "postgresql", "version": "16",
            "size": size, "highAvailability": false, "storage": {"size": "10Gi"}, "deletionPolicy": "Delete"});
        self.put("databases", name, &spec);
    }

    pub fn edit(&self, plural: &str, name: &str, spec: &Value) {
        let mut state = self.sim.state();
        let now = state.now();
        state.management.edit(plural, name, spec, now);
    }

    pub fn discard(&self, name: &str) {
        let mut state = self.sim.state();
        let (now, wall) = (state.now(), state.wall("server"));
        state.management.discard("databases", name, now, wall);
    }

    /// Ends the operator's life, and begins another that knows only what is written.
    pub fn crash(&mut self) {
        self.operator.life.crash();
        (self.operator, self.costs) = operator(&self.sim, &self.plain, &self.time);
        self.list();
    }

    /// Gives the operator's stores what there is.
    fn list(&mut self) {
        let state = self.sim.state();
        let (api, writers) = (&state.management, &mut self.operator.writers);
        list(&mut writers.databases, all::<Database>(api, "databases"));
        list(&mut writers.teams, all::<Team>(api, "teams"));
        list(&mut writers.tenants, all::<Tenant>(api, "tenants"));
        list(&mut writers.applications, Vec::new());
        list(&mut writers.caches, Vec::new());
        list(&mut writers.message_queues, Vec::new());
        list(&mut self.costs.books, all::<PriceBook>(api, "pricebooks"));
        list(&mut self.costs.records, all::<UsageRecord>(api, "usagerecords"));
    }

    /// Everybody looks at everything, until each database is served as it asks and nothing more is written.
    pub async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS {
            let before = self.sim.state().writes;
            self.turn().await;
            let wrote = self.sim.state().writes > before;
            quiet = if wrote || !self.is_served() { 0 } else { quiet + 1 };
            if quiet == 3 {
                return;
            }
        }
        panic!(
            "does not settle: {:?}",
            all::<Database>(&self.sim.state().management, "databases")
        );
    }

    fn is_served(&self) -> bool {
        let databases: Vec<Database> = all(&self.sim.state().management, "databases");
        databases.iter().all(|db| {
            let status = db.status.clone().unwrap_or_default();
            db.metadata.deletion_timestamp.is_none()
                && status.phase == kidp_core::crd::Phase::Ready
                && status.observed_generation == db.metadata.generation
        })
    }

    async fn turn(&mut self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.sim.state().tick();
        self.list();
        let context = Arc::clone(&self.operator.context);
        for database in context.caches.databases.state() {
            if let Err(error) = resource::reconcile::<Database>(database, Arc::clone(&context)).await {
                println!("operator: {error}");
            }
            self.list();
        }
        for team in context.caches.teams.state() {
            tenancy::reconcile::<Team>(team, Arc::clone(&context))
                .await
                .unwrap();
        }
        for (broker, name) in self.brokers.iter_mut().zip(BROKERS) {
            let records: Vec<ServiceInstance> = all(self.sim.state().cluster(name), "serviceinstances");
            for record in records {
                if let Err(error) = controller::reconcile(Arc::new(record), Arc::clone(&broker.context)).await
                {
                    println!("broker: {error}");
                }
            }
        }
    }

    pub fn book(&self) -> PriceBookSpec {
        all::<PriceBook>(&self.sim.state().management, "pricebooks")
            .remove(0)
            .spec
    }

    pub fn records(&self) -> Vec<UsageRecordSpec> {
        let records: Vec<UsageRecord> = all(&self.sim.state().management, "usagerecords");
        records.into_iter().map(|record| record.spec).collect()
    }

    pub fn status(&self, plural: &str, name: &str) -> Value {
        self.sim
            .state()
            .management
            .find(plural, name)
            .map(|object| object["status"].clone())
            .unwrap_or_default()
    }
}

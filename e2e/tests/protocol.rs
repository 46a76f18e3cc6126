//! The protocol between operator and broker, as processes: callbacks that are lost or come ten times, queues, requests
//! that come too late, and instances whose resources are gone.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use kidp_core::crd::{Broker, Database, Phase, ServiceInstance};
use kidp_core::group::TRACEPARENT_ANNOTATION;
use kidp_core::trace::TraceParent;
use kidp_core::wire::ProvisionRequest;
use kidp_e2e::callbacks::{CallbackRelay, Manner};
use kidp_e2e::cluster::{connect, delete_namespace};
use kidp_e2e::fixtures::{begin, create, database, leftovers, wait_clean, wait_for, wait_ready, wait_reason};
use kidp_e2e::host::{Options, Platform};
use kidp_e2e::process::binaries;
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

struct Scene {
    client: Client,
    namespace: String,
    platform: Platform,
}

impl Scene {
    async fn start(name: &str, options: Options) -> Self {
        let namespace = format!("kidp-e2e-{name}");
        let client = begin(&namespace).await.unwrap();
        let broker = format!("{namespace}-broker");
        let programs = binaries().unwrap();
        let platform = Platform::start_with(&client, &broker, &namespace, &programs, options).await;
        Self {
            platform: platform.unwrap(),
            client,
            namespace,
        }
    }

    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    async fn create(&self, name: &str) -> Database {
        self.must(create(&self.client, &database(&self.namespace, name).unwrap()).await)
    }

    async fn ready(&self, name: &str) -> Database {
        self.must(wait_ready::<Database>(&self.client, &self.namespace, name).await)
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn delete(&self, name: &str) {
        self.databases()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        self.must(wait_clean::<Database>(&self.client, &self.namespace, name).await);
    }

    async fn instances(&self) -> Vec<ServiceInstance> {
        let api: Api<ServiceInstance> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until the `Broker` counts this many orphans.
    async fn orphans(&self, count: Option<u32>) -> Broker {
        let api: Api<Broker> = Api::namespaced(self.client.clone(), &self.platform.namespace);
        let told = until("the orphans to be told of", Duration::from_mins(1), async || {
            let broker = api.get(&self.platform.namespace).await.unwrap();
            let now = broker.status.clone().unwrap_or_default().orphaned_instances;
            Ok(if now == count {
                Seen::Done(broker)
            } else {
                Seen::NotYet(format!("{now:?}"))
            })
        });
        self.must(told.await)
    }

    async fn end(self) {
        self.platform.stop().await.unwrap();
        delete_namespace(&self.client, &self.namespace).await.unwrap();
    }
}

/// One database from creation over a change to deletion, with callbacks that go this way.
async fn life_with_callbacks(name: &str, manner: Manner) {
    connect().await.unwrap();
    let relay = CallbackRelay::start(manner).await.unwrap();
    let options = Options {
        callback_url: Some(relay.url()),
        ..Options::default()
    };
    let s = Scene::start(name, options).await;
    relay.lead_to(&s.platform.callback_url());
    s.create("orders").await;
    s.ready("orders").await;
    // The latter restarts the server.
    let parameters = json!({"work_mem": "8MB", "max_connections": "55"});
    let patch = Patch::Merge(json!({"spec": {"parameters": parameters}}));
    s.databases()
        .patch("orders", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let tells = |database: &Database| {
        let changes = database.status.as_ref().and_then(|status| status.changes);
        changes.is_some_and(|changes| changes.generation == 2 && changes.rolling_restart > 0)
    };
    s.must(wait_for(&s.client, &s.namespace, "orders", "to say what changes", tells).await);
    let changed = s.ready("orders").await.status.unwrap();
    assert_eq!((changed.observed_generation, changed.changes), (Some(2), None));
    assert_eq!(s.instances().await.len(), 1);
    s.delete("orders").await;
    assert!(relay.taken() >= 2, "the relay was in use: {}", relay.taken());
    s.end().await;
}

#[tokio::test]
async fn without_a_single_callback_a_database_lives_its_life() {
    life_with_callbacks("cb-lost", Manner::Lost).await;
}

#[tokio::test]
async fn with_each_callback_ten_times_late_and_in_any_order_it_does_too() {
    life_with_callbacks("cb-repeated", Manner::Repeated(10)).await;
}

/// What a provision is logged as on its way, in the order of the ways: which of the two logs, and what the line says.
const STEPS: [(usize, &str); 7] = [
    (OPERATOR, "provision sent"),
    (BROKER, "request recorded"),
    (BROKER, "applied"),
    (BROKER, "status written"),
    (BROKER, "callback acknowledged"),
    (OPERATOR, "callback received"),
    (OPERATOR, "status written"),
];
const OPERATOR: usize = 0;
const BROKER: usize = 1;

/// The lines of a log that say this; of those about a status, the ones that say `Ready`.
fn said(log: &str, message: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_meant = |line: &Value| {
        let fields = &line["fields"];
        fields["message"] == message && (message != "status written" || fields["phase"] == "Ready")
    };
    lines.filter(is_meant).collect()
}

#[tokio::test]
async fn one_trace_joins_what_both_programs_log_of_a_provision() {
    let json_lines = || vec!["--log-format=json".to_owned()];
    let options = Options {
        operator: json_lines(),
        broker: json_lines(),
        ..Options::default()
    };
    let s = Scene::start("trace", options).await;
    s.create("orders").await;
    let ready = s.ready("orders").await;
    let logs = until("every step to be logged", Duration::from_mins(1), async || {
        let logs = s
            .platform
            .logs()
            .map(|path| std::fs::read_to_string(path).unwrap());
        let missing = STEPS
            .iter()
            .find(|(log, step)| said(&logs[*log], step).is_empty());
        Ok(match missing {
            Some(step) => Seen::NotYet(format!("{step:?} is missing")),
            None => Seen::Done(logs),
        })
    });
    let logs = s.must(logs.await);
    let lines: Vec<_> = STEPS
        .iter()
        .flat_map(|(log, step)| said(&logs[*log], step))
        .collect();
    let traces: BTreeSet<_> = lines.iter().map(|line| line["trace_id"].as_str()).collect();
    let root = TraceParent::of_generation(&ready.uid().unwrap(), 1);
    let expected = format!("{:032x}", root.trace_id());
    assert_eq!(traces, BTreeSet::from([Some(expected.as_str())]), "{lines:#?}");
    let spans: BTreeSet<_> = lines.iter().filter_map(|line| line["span_id"].as_str()).collect();
    assert!(
        spans.len() >= 4,
        "request, work, callback and its receipt are spans: {spans:?}"
    );

    // The next generation has a trace of its own, and the record says so.
    let patch = Patch::Merge(json!({"spec": {"drift": {"policy": "alert"}}}));
    let patched = s
        .databases()
        .patch("orders", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let generation = patched.metadata.generation;
    let is_recorded = |database: &Database| {
        let status = database.status.as_ref();
        status.is_some_and(|status| status.observed_generation == generation && status.phase == Phase::Ready)
    };
    s.must(
        wait_for(
            &s.client,
            &s.namespace,
            "orders",
            "to be ready again",
            is_recorded,
        )
        .await,
    );
    let record = s.instances().await.remove(0);
    let kept: TraceParent = record.annotations()[TRACEPARENT_ANNOTATION].parse().unwrap();
    let next = TraceParent::of_generation(&ready.uid().unwrap(), 2);
    assert_eq!((generation, kept.trace_id()), (Some(2), next.trace_id()));
    s.delete("orders").await;
    s.end().await;
}

#[tokio::test]
async fn a_request_that_comes_after_the_deletion_makes_nothing() {
    let s = Scene::start("late-request", Options::default()).await;
    s.create("orders").await;
    let ready = s.ready("orders").await;
    let record = s.instances().await.remove(0);
    s.delete("orders").await;
    let late = ProvisionRequest {
        resource_type: record.spec.resource_type,
        resource_name: "orders".to_owned(),
        namespace: s.namespace.clone(),
        team: record.spec.team.clone(),
        owner: record.spec.owner.clone(),
        callback_url: record.spec.callback_url.clone(),
        spec: record.spec.instance.clone(),
        resource_uid: ready.uid(),
        resource_generation: Some(1),
        requested_by: record.spec.requested_by.clone(),
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/provision", s.platform.broker_url());
    let answer = http.post(url).json(&late).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 410);
    assert_eq!(
        s.must(leftovers(&s.client, &s.namespace).await),
        Vec::<String>::new()
    );
    s.create("orders").await;
    s.ready("orders").await;
    s.delete("orders").await;
    s.end().await;
}

#[tokio::test]
async fn more_than_a_namespace_may_make_at_once_is_queued_and_served() {
    let options = Options {
        broker: vec!["--max-concurrent-per-namespace=1".to_owned()],
        ..Options::default()
    };
    let s = Scene::start("queue", options).await;
    let names = ["one", "two", "three"];
    for name in names {
        s.create(name).await;
    }
    let queued = wait_reason::<Database>(&s.client, &s.namespace, "three", "Queued").await;
    let queued = s.must(queued).status.unwrap();
    assert_eq!(queued.phase, Phase::Pending);
    assert!(
        queued.conditions[0].message.contains("or better in namespace"),
        "{:?}",
        queued.conditions
    );
    for name in names {
        s.ready(name).await;
    }
    for name in names {
        let deleted = s.databases().delete(name, &DeleteParams::default()).await;
        deleted.unwrap();
    }
    for name in names {
        s.must(wait_clean::<Database>(&s.client, &s.namespace, name).await);
    }
    s.end().await;
}

/// Takes the finalizer off and deletes the object, as somebody does who is tired of waiting.
async fn delete_by_force(s: &Scene, name: &str) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    s.platform.operator_api.reset();
    s.databases()
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    // The operator may be quicker; then there is nothing to take off.
    let _ = s.databases().patch(name, &PatchParams::default(), &patch).await;
}

#[tokio::test]
async fn an_instance_whose_resource_is_gone_is_told_of_and_removed_by_policy() {
    let options = Options {
        operator: [
            "--orphan-scan-seconds=1",
            "--orphan-grace-seconds=15",
            "--orphan-policy=remove",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Options::default()
    };
    let mut s = Scene::start("orphan", options).await;
    s.create("orders").await;
    s.ready("orders").await;
    s.platform.kill_operator().await.unwrap();
    delete_by_force(&s, "orders").await;
    s.platform.start_operator().await.unwrap();
    let told = s.orphans(Some(1)).await.status.unwrap();
    let condition = told
        .conditions
        .iter()
        .find(|c| c.type_ == "OrphansFound")
        .unwrap();
    assert!(condition.message.contains("orders"), "{}", condition.message);
    assert_eq!(s.instances().await.len(), 1, "not before the grace time");
    s.orphans(None).await;
    let gone = until("the orphan to be gone", Duration::from_mins(2), async || {
        let left = s.instances().await.len();
        Ok(if left == 0 {
            Seen::Done(())
        } else {
            Seen::NotYet(left.to_string())
        })
    });
    s.must(gone.await);
    let data = s.must(leftovers(&s.client, &s.namespace).await);
    assert!(
        data.iter().any(|o| o.starts_with("PersistentVolumeClaim/")),
        "data stays: {data:?}"
    );
    // Adopted by a resource of the name, and removed with it.
    s.create("orders").await;
    s.ready("orders").await;
    s.delete("orders").await;
    s.end().await;
}

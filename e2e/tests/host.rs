//! Operator and broker as processes: the main path, crashes at every write, bad input, and what it costs.
//!
//! Each test has namespaces of its own and starts its own pair of processes, which leave other namespaces alone;
//! they run side by side.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kidp_core::crd::{BrokerPhase, Database, Phase, ServiceInstance};
use kidp_core::names::base_name;
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{begin, create, database, leftovers, wait_clean, wait_for, wait_ready, wait_reason};
use kidp_e2e::host::Platform;
use kidp_e2e::proxy::Side;
use kidp_e2e::wait::{Seen, until};
use kidp_e2e::{leaks, sql};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// A scenario's namespaces and platform; the logs are printed when it fails.
struct Scenario {
    client: Client,
    namespace: String,
    platform: Platform,
}

impl Scenario {
    async fn start(name: &str) -> Self {
        let namespace = format!("kidp-e2e-{name}");
        let client = begin(&namespace).await.unwrap();
        let platform = Platform::start(&client, &format!("{namespace}-broker"), &namespace)
            .await
            .unwrap();
        Self {
            client,
            namespace,
            platform,
        }
    }

    /// Unwraps a result, with both logs in the report.
    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    async fn create(&self, name: &str) -> Database {
        self.must(create(&self.client, &database(&self.namespace, name).unwrap()).await)
    }

    async fn create_with(&self, name: &str, spec: &serde_json::Value) -> Database {
        let mut value = serde_json::to_value(database(&self.namespace, name).unwrap()).unwrap();
        merge(&mut value["spec"], spec);
        let changed: Database = serde_json::from_value(value).unwrap();
        self.must(create(&self.client, &changed).await)
    }

    async fn ready(&self, name: &str) -> Database {
        self.must(wait_ready::<Database>(&self.client, &self.namespace, name).await)
    }

    async fn patch(&self, name: &str, spec: serde_json::Value) -> Database {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.databases()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap()
    }

    async fn delete(&self, name: &str) {
        self.databases()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    async fn clean(&self, name: &str) {
        self.must(wait_clean::<Database>(&self.client, &self.namespace, name).await);
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn instances(&self) -> Vec<ServiceInstance> {
        let api: Api<ServiceInstance> = Api::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    async fn stateful_set(&self, name: &str) -> StatefulSet {
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(&base_name(name, "postgresql")).await.unwrap()
    }

    async fn end(self) {
        self.platform.stop().await.unwrap();
        delete_namespace(&self.client, &self.namespace).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_answers_sql_is_resized_without_loss_and_leaves_nothing() {
    let s = Scenario::start("main").await;
    s.create("orders").await;
    let ready = s.ready("orders").await;
    let rows = sql::run(
        &s.client,
        &ready,
        "create table t(i int); insert into t values (41); select i+1 from t",
    )
    .await;
    assert_eq!(s.must(rows), "42");

    let status = ready.status.clone().unwrap();
    let secret = status.connection_secret_ref.unwrap().name;
    let password = s.must(leaks::password(&s.client, &s.namespace, &secret).await);
    assert_eq!(password.len(), 32);

    s.patch(
        "orders",
        json!({"size": "medium", "parameters": {"work_mem": "8MB"}}),
    )
    .await;
    let resized = s.ready("orders").await;
    let pod = s
        .stateful_set("orders")
        .await
        .spec
        .unwrap()
        .template
        .spec
        .unwrap();
    let limits = pod.containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(
        (limits["cpu"].0.as_str(), limits["memory"].0.as_str()),
        ("2", "4Gi")
    );
    let rows = sql::run(&s.client, &resized, "select i from t; show work_mem").await;
    assert_eq!(s.must(rows), "41\n8MB");
    let kept = s.must(leaks::password(&s.client, &s.namespace, &secret).await);
    assert_eq!(kept, password, "a resize keeps the password");

    let namespaces = [s.namespace.as_str(), s.platform.namespace.as_str()];
    let found = leaks::find(&s.client, &namespaces, &s.platform.logs(), &password).await;
    assert_eq!(
        s.must(found),
        Vec::<String>::new(),
        "the password is in a Secret and nowhere else"
    );

    s.delete("orders").await;
    s.clean("orders").await;
    s.end().await;
}

#[tokio::test]
async fn a_database_costs_few_writes_and_none_when_idle() {
    let s = Scenario::start("writes").await;
    s.create("warm-up").await;
    s.ready("warm-up").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    s.platform.operator_api.reset();
    s.platform.broker_api.reset();
    s.create("counted").await;
    s.ready("counted").await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let writes: Vec<_> = [&s.platform.operator_api, &s.platform.broker_api]
        .iter()
        .flat_map(|api| api.writes())
        .filter(|w| w.path.contains("platform.company.com"))
        .filter(|w| w.path.contains("/databases/") || w.path.contains("/serviceinstances"))
        .map(|w| w.short())
        .collect();
    println!(
        "writes to the records until Ready: {}\n{}",
        writes.len(),
        writes.join("\n")
    );
    // Finalizer, placement and result on the resource; creation, result and acknowledgement on the record. On a slow
    // machine the record also says once what it waits for.
    assert!(writes.len() <= 7, "{writes:#?}");

    s.platform.operator_api.reset();
    s.platform.broker_api.reset();
    let idle = std::env::var("KIDP_IDLE_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(60);
    tokio::time::sleep(Duration::from_secs(idle)).await;
    let idle_writes: Vec<_> = [s.platform.operator_api.writes(), s.platform.broker_api.writes()].concat();
    let leases = s.platform.operator_api.bookkeeping() + s.platform.broker_api.bookkeeping();
    println!(
        "writes in {idle} idle seconds: {} (lease renewals and events: {leases})",
        idle_writes.len()
    );
    assert_eq!(idle_writes, vec![]);

    for name in ["warm-up", "counted"] {
        s.delete(name).await;
    }
    for name in ["warm-up", "counted"] {
        s.clean(name).await;
    }
    s.end().await;
}

/// Runs one database from creation to deletion with a crash at the n-th write, for every n there is, and both
/// sides of it.
async fn crash_at_every_write(name: &str, of_broker: bool, side: Side) {
    let mut s = Scenario::start(name).await;
    let mut crashed_at = Vec::new();
    for skip in 0..40 {
        let database = format!("crash-{skip}");
        let proxy = if of_broker {
            &s.platform.broker_api
        } else {
            &s.platform.operator_api
        };
        let mut reached = proxy.arm(skip, side);
        s.create(&database).await;
        let crashed = tokio::select! {
            write = &mut reached => write.ok(),
            _ = s.ready(&database) => None,
        };
        let crashed = if crashed.is_some() {
            crashed
        } else {
            s.delete(&database).await;
            tokio::select! {
                write = &mut reached => write.ok(),
                () = s.clean(&database) => None,
            }
        };
        let Some(write) = crashed else {
            let proxy = if of_broker {
                &s.platform.broker_api
            } else {
                &s.platform.operator_api
            };
            proxy.disarm();
            println!("{side:?} each of {skip} writes: {crashed_at:#?}");
            assert!(skip >= 5, "too few writes for a life: {crashed_at:?}");
            s.end().await;
            return;
        };
        crashed_at.push(write.replace(&database, "X"));
        if of_broker {
            s.platform.kill_broker().await.unwrap();
            s.platform.start_broker().await.unwrap();
        } else {
            s.platform.kill_operator().await.unwrap();
            s.platform.start_operator().await.unwrap();
        }
        let deleting = s.databases().get_opt(&database).await.unwrap();
        if deleting.is_some_and(|d| d.metadata.deletion_timestamp.is_none()) {
            s.ready(&database).await;
            assert_eq!(
                s.instances().await.len(),
                1,
                "one instance for one database after a crash at {write}"
            );
            s.delete(&database).await;
        }
        s.clean(&database).await;
    }
    panic!("more than 40 writes for one database: {crashed_at:#?}");
}

#[tokio::test]
async fn the_operator_may_crash_before_each_of_its_writes() {
    crash_at_every_write("op-before", false, Side::Before).await;
}

#[tokio::test]
async fn the_operator_may_crash_after_each_of_its_writes() {
    crash_at_every_write("op-after", false, Side::After).await;
}

#[tokio::test]
async fn the_broker_may_crash_before_each_of_its_writes() {
    crash_at_every_write("br-before", true, Side::Before).await;
}

#[tokio::test]
async fn the_broker_may_crash_after_each_of_its_writes() {
    crash_at_every_write("br-after", true, Side::After).await;
}

/// A name, what is changed in a good spec, and the reason and a part of the message that must be said of it.
fn refusals() -> Vec<(&'static str, serde_json::Value, &'static str, &'static str)> {
    vec![
        (
            "unknown-parameter",
            json!({"parameters": {"shared_bufers": "1GB"}}),
            "InvalidField",
            "spec.parameters.shared_bufers",
        ),
        (
            "bad-parameter",
            json!({"parameters": {"max_connections": "many"}}),
            "InvalidField",
            "spec.parameters.max_connections",
        ),
        (
            "unsupported-version",
            json!({"version": "9.6"}),
            "InvalidField",
            "spec.version",
        ),
        (
            "high-availability",
            // Refused with CloudNativePG and without it.
            json!({"highAvailability": true, "parameters": {"max_wal_senders": "2"}}),
            "InvalidField",
            "spec.parameters.max_wal_senders",
        ),
        (
            "tls",
            json!({"encryption": {"inTransit": true, "certificate": {"secretName": "Not_A_Name"}}}),
            "InvalidField",
            "spec.encryption.certificate.secretName",
        ),
        (
            "missing-owner",
            json!({"owner": {"name": "nobody"}}),
            "OwnerNotFound",
            "nobody",
        ),
        (
            "sqlserver",
            json!({"engine": "sqlserver"}),
            "NoBroker",
            "sqlserver",
        ),
        ("mysql", json!({"engine": "mysql"}), "NoBroker", "mysql"),
        (
            "unknown-target",
            json!({"target": {"broker": "moon"}}),
            "TargetNotFound",
            "moon",
        ),
        (
            "unknown-region",
            json!({"target": {"region": "mars"}}),
            "NoBroker",
            "mars",
        ),
    ]
}

#[tokio::test]
async fn a_wrong_spec_is_explained_and_a_corrected_one_applies() {
    let s = Scenario::start("bad-input").await;
    let rows = refusals();
    for (name, patch, reason, part) in &rows {
        s.create_with(name, patch).await;
        let refused = s.must(wait_reason::<Database>(&s.client, &s.namespace, name, reason).await);
        let status = refused.status.unwrap();
        assert!(
            status.conditions[0].message.contains(part),
            "{name}: {:?}",
            status.conditions
        );
        assert_eq!(status.observed_generation, Some(1), "{name}");
    }
    assert_eq!(s.instances().await.len(), 0, "nothing is half-created");

    // A status is seen here before its writer has the answer.
    tokio::time::sleep(Duration::from_secs(3)).await;
    s.platform.operator_api.reset();
    s.platform.broker_api.reset();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut storm = [s.platform.operator_api.writes(), s.platform.broker_api.writes()].concat();
    // The team's count of databases and what is known of the broker's health follow at their own pace.
    storm.retain(|w| !w.path.contains("/teams/") && !w.path.contains("/brokers/"));
    assert_eq!(storm, vec![], "a refusal is said once");

    s.patch("bad-parameter", json!({"parameters": {"max_connections": "50"}}))
        .await;
    let corrected = s.ready("bad-parameter").await;
    let shown = sql::run(&s.client, &corrected, "show max_connections").await;
    assert_eq!(s.must(shown), "50");

    let before = s.instances().await[0].status.clone();
    s.patch("bad-parameter", json!({"parameters": {"max_connections": "-1"}}))
        .await;
    s.must(wait_reason::<Database>(&s.client, &s.namespace, "bad-parameter", "InvalidField").await);
    let answer = sql::run(&s.client, &corrected, "select 1").await;
    assert_eq!(
        s.must(answer),
        "1",
        "a refused change leaves the running database alone"
    );
    assert_eq!(s.instances().await[0].status, before);

    for (name, ..) in &rows {
        s.delete(name).await;
    }
    for (name, ..) in &rows {
        s.clean(name).await;
    }
    s.end().await;
}

fn merge(base: &mut serde_json::Value, patch: &serde_json::Value) {
    match (base.as_object_mut(), patch.as_object()) {
        (Some(base), Some(patch)) => {
            for (key, value) in patch {
                merge(base.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        _ => *base = patch.clone(),
    }
}

#[tokio::test]
async fn a_database_can_be_deleted_while_it_is_provisioned() {
    let s = Scenario::start("early-delete").await;
    for (index, pause) in [0, 20, 50, 100, 200, 500, 1000].into_iter().enumerate() {
        let name = format!("brief-{index}");
        s.create(&name).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        s.delete(&name).await;
        s.clean(&name).await;
    }
    s.end().await;
}

#[tokio::test]
async fn deletion_waits_for_an_absent_broker_and_then_completes() {
    let mut s = Scenario::start("absent-broker").await;
    s.create("orders").await;
    s.ready("orders").await;
    s.platform.kill_broker().await.unwrap();
    s.platform.wait_broker(BrokerPhase::Unhealthy).await.unwrap();
    s.delete("orders").await;
    let stuck = s.must(wait_reason::<Database>(&s.client, &s.namespace, "orders", "BrokerUnavailable").await);
    assert_eq!(stuck.status.unwrap().phase, Phase::Deleting);
    assert!(
        !s.must(leftovers(&s.client, &s.namespace).await).is_empty(),
        "nothing is dropped behind its back"
    );
    s.platform.start_broker().await.unwrap();
    s.clean("orders").await;
    s.end().await;
}

#[tokio::test]
async fn retained_data_is_adopted_with_its_old_password() {
    let s = Scenario::start("retain").await;
    s.create("orders").await;
    s.patch("orders", json!({"deletionPolicy": "Retain"})).await;
    let ready = s.ready("orders").await;
    s.must(
        sql::run(
            &s.client,
            &ready,
            "create table t(i int); insert into t values (7)",
        )
        .await,
    );
    let secret = ready.status.unwrap().connection_secret_ref.unwrap().name;
    let password = s.must(leaks::password(&s.client, &s.namespace, &secret).await);
    s.delete("orders").await;
    let kept = until("only the data to be left", Duration::from_mins(1), async || {
        let left = leftovers(&s.client, &s.namespace).await?;
        let gone = left.iter().all(|o| {
            ["Secret/", "PersistentVolumeClaim/", "PersistentVolume/"]
                .iter()
                .any(|k| o.starts_with(k))
        });
        Ok(if gone && left.len() == 3 {
            Seen::Done(left)
        } else {
            Seen::NotYet(left.join(", "))
        })
    });
    s.must(kept.await);
    let gone = until("the object to be gone", Duration::from_mins(1), async || {
        let left = s.databases().get_opt("orders").await.unwrap();
        Ok(left.map_or(Seen::Done(()), |d| Seen::NotYet(format!("{:?}", d.status))))
    });
    s.must(gone.await);

    s.create("orders").await;
    let adopted = s.ready("orders").await;
    let rows = sql::run(&s.client, &adopted, "select i from t").await;
    assert_eq!(s.must(rows), "7");
    assert_eq!(
        s.must(leaks::password(&s.client, &s.namespace, &secret).await),
        password
    );
    s.delete("orders").await;
    s.clean("orders").await;
    s.end().await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_taken_over() {
    let s = Scenario::start("collision").await;
    let secrets: Api<Secret> = Api::namespaced(s.client.clone(), &s.namespace);
    let name = format!("{}-connection", base_name("orders", "postgresql"));
    let foreign = json!({"metadata": {"name": name}, "stringData": {"password": "not-ours"}});
    secrets
        .create(&PostParams::default(), &serde_json::from_value(foreign).unwrap())
        .await
        .unwrap();
    s.create("orders").await;
    let what = "to name the collision";
    let told = wait_for::<Database>(&s.client, &s.namespace, "orders", what, |d| {
        d.status
            .as_ref()
            .is_some_and(|st| st.conditions.iter().any(|c| c.message.contains(&name)))
    });
    s.must(told.await);
    let left = secrets.get(&name).await.unwrap();
    assert_eq!(left.data.unwrap()["password"].0, b"not-ours");
    secrets.delete(&name, &DeleteParams::default()).await.unwrap();
    s.ready("orders").await;
    s.delete("orders").await;
    s.clean("orders").await;
    s.end().await;
}

#[tokio::test]
async fn what_is_changed_or_deleted_by_hand_is_put_back() {
    let s = Scenario::start("repair").await;
    s.create("orders").await;
    let ready = s.ready("orders").await;
    s.must(
        sql::run(
            &s.client,
            &ready,
            "create table t(i int); insert into t values (5)",
        )
        .await,
    );
    let sets: Api<StatefulSet> = Api::namespaced(s.client.clone(), &s.namespace);
    let base = base_name("orders", "postgresql");
    let old = sets.get(&base).await.unwrap();
    sets.delete(&base, &DeleteParams::default()).await.unwrap();
    let back = until("the StatefulSet to be back", Duration::from_mins(1), async || {
        let live = sets.get_opt(&base).await.ok().flatten();
        let new = live.filter(|l| l.uid() != old.uid() && l.metadata.deletion_timestamp.is_none());
        Ok(new.map_or(Seen::NotYet("absent".into()), Seen::Done))
    });
    s.must(back.await);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(s.client.clone(), &s.namespace);
    assert_eq!(claims.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let again = until(
        "an answer after the repair",
        Duration::from_secs(90),
        async || {
            let now = wait_ready::<Database>(&s.client, &s.namespace, "orders").await?;
            Ok(match sql::run(&s.client, &now, "select i from t").await {
                Ok(rows) => Seen::Done(rows),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        },
    );
    assert_eq!(s.must(again.await), "5");
    s.delete("orders").await;
    s.clean("orders").await;
    s.end().await;
}

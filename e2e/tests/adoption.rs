//! A PostgreSQL that was made by hand becomes a `Database`, by its spec alone: refused while something is in the way, taken
//! over without a restart, then given a new instance's pods once that is accepted.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../../kidp-provisioners/tests/support/legacy.rs"]
mod legacy;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kidp_core::conditions::STALLED;
use kidp_core::crd::Database;
use kidp_e2e::cli::{Said, kidp};
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{READY_LIMIT, begin, create, database, wait_clean, wait_for, wait_ready};
use kidp_e2e::host::Platform;
use kidp_e2e::sql;
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use legacy::NAME;
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-adoption";

struct Bench {
    client: Client,
    platform: Platform,
}

impl Bench {
    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn patch(&self, adopt: Value) {
        let patch = Patch::Merge(json!({"spec": {"adopt": adopt}}));
        let databases = self.databases();
        databases
            .patch("orders", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn ready(&self) -> Database {
        self.must(wait_ready::<Database>(&self.client, NAMESPACE, "orders").await)
    }

    /// What is said of the database once it is not ready and this is in it.
    async fn told(&self, text: &str) -> String {
        let message = |database: &Database| {
            let conditions = database.status.clone().unwrap_or_default().conditions;
            let stalled = conditions
                .into_iter()
                .find(|c| c.type_ == STALLED && c.status == "True");
            stalled.map(|condition| condition.message).unwrap_or_default()
        };
        let says = |database: &Database| message(database).contains(text);
        let what = format!("to say `{text}`");
        let found = wait_for::<Database>(&self.client, NAMESPACE, "orders", &what, says).await;
        message(&self.must(found))
    }

    async fn pod(&self) -> Option<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        pods.get("legacy-db-0").await.unwrap().uid()
    }

    async fn sql(&self, database: &Database, statements: &str) -> String {
        self.must(sql::run(&self.client, database, statements).await)
    }
}

/// The old database, ready.
async fn old(client: &Client) {
    let new = PostParams::default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    secrets.create(&new, &legacy::secret()).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let service = json!({"metadata": {"name": NAME}, "spec": {"clusterIP": "None", "selector": {"app": NAME},
        "ports": [{"name": "sql", "port": 5432}]}});
    services
        .create(&new, &serde_json::from_value(service).unwrap())
        .await
        .unwrap();
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    sets.create(&new, &legacy::set()).await.unwrap();
    until("the old database to be ready", READY_LIMIT, async || {
        let status = sets.get(NAME).await.unwrap().status.unwrap_or_default();
        Ok(
            if status.ready_replicas == Some(1) && status.current_revision == status.update_revision {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{status:?}"))
            },
        )
    })
    .await
    .unwrap();
}

async fn start() -> Bench {
    let client = begin(NAMESPACE).await.unwrap();
    old(&client).await;
    let platform = Platform::start(&client, &format!("{NAMESPACE}-broker"), NAMESPACE)
        .await
        .unwrap();
    Bench { client, platform }
}

/// The command line looks at it as the broker does: without the digest it only tells it.
async fn looked_at_by_the_command_line(digest: &str) {
    let said = adopt(&[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out.contains(&format!("--apply --accept-plan {digest}")),
        "{said:?}"
    );
    let said = adopt(&["--apply"]).await;
    assert_eq!(said.code, 1, "{said:?}");
}

async fn adopt(how: &[&str]) -> Said {
    let line = format!(
        "adopt db/orders --team payments --engine postgresql --engine-version 15 --storage 512Mi --stateful-set {NAME} --secret {NAME} \
         --password-key postgres-password --username-key user --database shop --pod-template Replace"
    );
    let arguments: Vec<_> = line.split_whitespace().chain(how.iter().copied()).collect();
    kidp(NAMESPACE, &arguments).await.unwrap()
}

#[tokio::test]
async fn a_hand_made_postgresql_becomes_a_database() {
    let bench = start().await;
    let old_pod = bench.pod().await;

    let mut wanted = serde_json::to_value(database(NAMESPACE, "orders").unwrap()).unwrap();
    wanted["spec"]["adopt"] = legacy::adopt("Keep")["adopt"].clone();
    wanted["spec"]["adopt"]["secretRef"]["keys"]["password"] = json!("nowhere");
    wanted["spec"]["storage"]["size"] = json!("512Mi");
    let wanted: Database = serde_json::from_value(wanted).unwrap();
    bench.must(create(&bench.client, &wanted).await);
    bench.told("Secret/legacy-db has no usable entry `nowhere`").await;

    bench
        .patch(json!({"secretRef": {"keys": {"password": "postgres-password"}}}))
        .await;
    let ready = bench.ready().await;
    assert_eq!(bench.pod().await, old_pod);
    let statements = "create table goods as select 42 as n; select n from goods";
    assert_eq!(bench.sql(&ready, statements).await, "42");

    bench.patch(json!({"podTemplate": "Replace"})).await;
    let told = bench.told("set spec.adopt.acceptPlan to ").await;
    assert_eq!(bench.pod().await, old_pod);
    let digest = told.rsplit(' ').next().unwrap();
    looked_at_by_the_command_line(digest).await;
    let accepted = adopt(&["--apply", "--accept-plan", digest]).await;
    assert_eq!(accepted.code, 0, "{accepted:?}");
    let ready = bench.ready().await;
    assert_ne!(bench.pod().await, old_pod);
    assert_eq!(bench.sql(&ready, "select n from goods").await, "42");

    bench
        .databases()
        .delete("orders", &DeleteParams::default())
        .await
        .unwrap();
    bench.must(wait_clean::<Database>(&bench.client, NAMESPACE, "orders").await);
    let secrets: Api<Secret> = Api::namespaced(bench.client.clone(), NAMESPACE);
    assert!(
        secrets.get_opt(NAME).await.unwrap().is_some(),
        "what KIDP did not make stays"
    );
    bench.platform.stop().await.unwrap();
    delete_namespace(&bench.client, NAMESPACE).await.unwrap();
}

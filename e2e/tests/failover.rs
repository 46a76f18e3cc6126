//! PostgreSQL with failover from the object to nothing left, with operator, broker and the real CloudNativePG
//! (`cargo xtask devcluster addons cloudnative-pg`). The SDK's own test, `postgresql_ha`, does more without the first two.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kidp_core::crd::{Database, ServiceInstance};
use kidp_e2e::client::base_of;
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create, create_team, resource, wait_clean, wait_ready, wait_reason};
use kidp_e2e::host::Platform;
use kidp_e2e::wait::{Seen, until};
use kidp_e2e::{Result, sql};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

const NAMESPACE: &str = "kidp-e2e-failover";
const NAME: &str = "orders";

struct Life {
    client: Client,
    platform: Platform,
}

impl Life {
    fn must<T>(&self, outcome: Result<T>) -> T {
        outcome.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    async fn patch(&self, spec: serde_json::Value) {
        let api: Api<Database> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"spec": spec}));
        api.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn ready(&self) -> Database {
        self.must(wait_ready(&self.client, NAMESPACE, NAME).await)
    }

    async fn count(&self, database: &Database) -> String {
        let answer = sql::run(&self.client, database, "select count(*) from kept").await;
        self.must(answer)
    }

    /// Kills the member that takes writes, and waits for another.
    async fn fail_over(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let primary = ListParams::default().labels("cnpg.io/instanceRole=primary");
        let before = pods.list(&primary).await.unwrap().items.remove(0).name_any();
        let now = DeleteParams::default().grace_period(0);
        pods.delete(&before, &now).await.unwrap();
        let moved = until("another primary", Duration::from_mins(2), async || {
            let names: Vec<_> = pods
                .list(&primary)
                .await
                .unwrap()
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            Ok(if names.iter().any(|name| *name != before) {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{names:?}"))
            })
        });
        self.must(moved.await);
    }
}

#[tokio::test]
async fn a_database_with_failover_lives_and_leaves_nothing() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    let broker = "kidp-e2e-failover-broker";
    purge(&client, NAMESPACE).await.unwrap();
    assert!(
        client
            .list_api_group_resources("postgresql.cnpg.io/v1")
            .await
            .is_ok(),
        "CloudNativePG is not installed in this cluster: cargo xtask devcluster addons cloudnative-pg"
    );
    create_namespace(&client, NAMESPACE).await.unwrap();
    create_team(&client, NAMESPACE).await.unwrap();
    let platform = Platform::start(&client, broker, NAMESPACE).await.unwrap();
    let life = Life { client, platform };
    let mut database: Database = life.must(resource(NAMESPACE, NAME, "postgresql", "17"));
    database.spec.high_availability = true;
    database.spec.parameters = [("shared_buffers".to_owned(), "64MB".to_owned())].into();
    life.must(create(&life.client, &database).await);
    let ready = life.ready().await;
    let endpoint = ready.status.as_ref().unwrap().endpoint.clone();
    assert_eq!(endpoint, Some(format!("{}-rw.{NAMESPACE}.svc", base_of(&ready))));
    let made = "create table kept (n int); insert into kept select generate_series(1, 100)";
    life.must(sql::run(&life.client, &ready, made).await);

    life.fail_over().await;
    assert_eq!(life.count(&ready).await, "100");

    // What an engine cannot follow is refused with its field, and the instance goes on as it was.
    life.patch(json!({"highAvailability": false})).await;
    let refused = wait_reason::<Database>(&life.client, NAMESPACE, NAME, "InvalidField").await;
    let message = life.must(refused).status.unwrap().conditions[0].message.clone();
    assert!(message.contains("spec.highAvailability"), "{message}");
    let records: Api<ServiceInstance> = Api::namespaced(life.client.clone(), NAMESPACE);
    let records = records.list(&ListParams::default()).await.unwrap();
    assert!(records.items[0].spec.instance.high_availability);
    life.patch(json!({"highAvailability": true})).await;
    let again = life.ready().await;
    assert_eq!(life.count(&again).await, "100");

    let api: Api<Database> = Api::namespaced(life.client.clone(), NAMESPACE);
    api.delete(NAME, &DeleteParams::default()).await.unwrap();
    life.must(wait_clean::<Database>(&life.client, NAMESPACE, NAME).await);
    life.platform.stop().await.unwrap();
    delete_namespace(&life.client, NAMESPACE).await.unwrap();
}

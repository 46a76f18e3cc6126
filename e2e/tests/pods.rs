//! The eight steps with operator and broker as containers, from the shipped manifests and their RBAC: create,
//! reconcile, StatefulSet, callback, status, SQL, delete, cleaned.
#![allow(clippy::unwrap_used, clippy::panic)]

use k8s_openapi::api::apps::v1::StatefulSet;
use kidp_core::crd::{Database, Phase};
use kidp_core::names::base_name;
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create, create_team, database, wait_clean, wait_for, wait_ready};
use kidp_e2e::{leaks, pods, sql};
use kube::api::DeleteParams;
use kube::{Api, Client};

const NAMESPACE: &str = "kidp-e2e-pods";
const TWIN: &str = "kidp-e2e-pods-twin";

async fn report<T>(client: &Client, result: kidp_e2e::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}\n{}", pods::logs(client).await.unwrap_or_default()),
    }
}

#[tokio::test]
async fn eight_steps_in_pods() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    purge(&client, "kidp-e2e").await.unwrap();
    create_namespace(&client, NAMESPACE).await.unwrap();
    create_team(&client, NAMESPACE).await.unwrap();
    report(&client, pods::install(&client).await).await;

    let created = create(&client, &database(NAMESPACE, "orders").unwrap())
        .await
        .unwrap();
    let accepted = |d: &Database| {
        d.status
            .as_ref()
            .is_some_and(|s| s.phase != Phase::Pending && s.broker_ref.is_some())
    };
    report(
        &client,
        wait_for::<Database>(&client, NAMESPACE, "orders", "to be given to a broker", accepted).await,
    )
    .await;
    let ready = report(
        &client,
        wait_ready::<Database>(&client, NAMESPACE, "orders").await,
    )
    .await;
    assert_eq!(ready.metadata.uid, created.metadata.uid);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    let set = sets.get(&base_name("orders", "postgresql")).await.unwrap();
    assert_eq!(set.status.unwrap().ready_replicas, Some(1));

    let logs = pods::logs(&client).await.unwrap();
    assert!(
        logs.contains("callback acknowledged"),
        "the callback arrived and was verified:\n{logs}"
    );
    let rows = sql::run(
        &client,
        &ready,
        "create table t(i int); insert into t values (1); select count(*) from t",
    );
    assert_eq!(report(&client, rows.await).await, "1");

    let secret = ready
        .status
        .as_ref()
        .unwrap()
        .connection_secret_ref
        .clone()
        .unwrap()
        .name;
    let password = leaks::password(&client, NAMESPACE, &secret).await.unwrap();
    let namespaces = [NAMESPACE, pods::OPERATOR_NAMESPACE, pods::BROKER_NAMESPACE];
    assert_eq!(
        leaks::find(&client, &namespaces, &[], &password).await.unwrap(),
        Vec::<String>::new()
    );

    twin_in_another_namespace(&client, &ready).await;
    delete_namespace(&client, NAMESPACE).await.unwrap();
    pods::uninstall(&client).await.unwrap();
}

async fn twin_in_another_namespace(client: &Client, first: &Database) {
    create_namespace(client, TWIN).await.unwrap();
    create_team(client, TWIN).await.unwrap();
    create(client, &database(TWIN, "orders").unwrap()).await.unwrap();
    let second = report(client, wait_ready::<Database>(client, TWIN, "orders").await).await;
    let id = |d: &Database| d.status.as_ref().unwrap().deployment_id.clone();
    assert_ne!(id(first), id(&second));
    let seen = sql::run(
        client,
        &second,
        "select count(*) from pg_tables where tablename = 't'",
    )
    .await;
    assert_eq!(report(client, seen).await, "0", "two instances, two sets of data");

    remove(client, NAMESPACE).await;
    let answer = sql::run(client, &second, "select 1").await;
    assert_eq!(report(client, answer).await, "1", "the other one is untouched");
    remove(client, TWIN).await;
    delete_namespace(client, TWIN).await.unwrap();
}

async fn remove(client: &Client, namespace: &str) {
    let api: Api<Database> = Api::namespaced(client.clone(), namespace);
    api.delete("orders", &DeleteParams::default()).await.unwrap();
    report(client, wait_clean::<Database>(client, namespace, "orders").await).await;
}

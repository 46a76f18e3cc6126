//! The eight steps with operator and broker as containers, from the shipped manifests and their RBAC: create,
//! reconcile, StatefulSet, callback, status, SQL, delete, cleaned.
#![allow(clippy::unwrap_used, clippy::panic)]

use k8s_openapi::api::apps::v1::StatefulSet;
use kidp_core::crd::Phase;
use kidp_core::names::base_name;
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create, create_team, database, wait_clean, wait_for, wait_ready};
use kidp_e2e::{leaks, pods, sql};
use kube::Api;
use kube::api::DeleteParams;

const NAMESPACE: &str = "kidp-e2e-pods";

async fn report<T>(client: &kube::Client, result: kidp_e2e::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}\n{}", pods::logs(client).await.unwrap_or_default()),
    }
}

#[tokio::test]
async fn eight_steps_in_pods() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    purge(&client).await.unwrap();
    create_namespace(&client, NAMESPACE).await.unwrap();
    create_team(&client, NAMESPACE).await.unwrap();
    report(&client, pods::install(&client).await).await;

    let created = create(&client, &database(NAMESPACE, "orders").unwrap())
        .await
        .unwrap();
    let accepted = |d: &kidp_core::crd::Database| {
        d.status
            .as_ref()
            .is_some_and(|s| s.phase != Phase::Pending && s.broker_ref.is_some())
    };
    report(
        &client,
        wait_for(&client, NAMESPACE, "orders", "to be given to a broker", accepted).await,
    )
    .await;
    let ready = report(&client, wait_ready(&client, NAMESPACE, "orders").await).await;
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

    let secret = ready.status.unwrap().connection_secret_ref.unwrap().name;
    let password = leaks::password(&client, NAMESPACE, &secret).await.unwrap();
    let namespaces = [NAMESPACE, pods::OPERATOR_NAMESPACE, pods::BROKER_NAMESPACE];
    assert_eq!(
        leaks::find(&client, &namespaces, &[], &password).await.unwrap(),
        Vec::<String>::new()
    );

    let api: Api<kidp_core::crd::Database> = Api::namespaced(client.clone(), NAMESPACE);
    api.delete("orders", &DeleteParams::default()).await.unwrap();
    report(&client, wait_clean(&client, NAMESPACE, "orders").await).await;
    delete_namespace(&client, NAMESPACE).await.unwrap();
    pods::uninstall(&client).await.unwrap();
}

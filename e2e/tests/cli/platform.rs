//! The commands against operator and broker: a database from its making to the loss of its broker.

use k8s_openapi::api::core::v1::Service;
use kidp_core::crd::{BrokerPhase, Database};
use kidp_core::labels::TEAM;
use kidp_e2e::cli::{Said, kidp, wait_cause};
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{begin, wait_clean};
use kidp_e2e::host::Platform;
use kidp_e2e::leaks;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

const NAMESPACE: &str = "kidp-e2e-cli";
const BROKER: &str = "kidp-e2e-cli-broker";
const NEW: [&str; 6] = [
    "--engine",
    "postgresql",
    "--engine-version",
    "15",
    "--storage",
    "1Gi",
];

async fn good(arguments: &[&str]) -> Said {
    let said = kidp(NAMESPACE, arguments).await.unwrap();
    assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    said
}

/// The file that the database would be made from, with `changes`.
async fn file(changes: &[&str]) -> tempfile::NamedTempFile {
    let arguments = [
        &["create", "db/orders", "--team", "payments", "--dry-run=client"],
        &NEW[..],
        changes,
    ]
    .concat();
    let shown = good(&arguments).await;
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), shown.out).unwrap();
    file
}

async fn made() {
    let arguments = [
        &[
            "create",
            "db/orders",
            "--team",
            "payments",
            "--wait",
            "--timeout",
            "2m",
        ],
        &NEW[..],
    ]
    .concat();
    let said = good(&arguments).await;
    assert!(said.out.contains("Database/orders is ready"), "{said:?}");
    let status = good(&["status", "db/orders", "-o", "tree"]).await;
    assert!(
        status.out.contains("StatefulSet/orders-postgresql  1/1 ready"),
        "{status:?}"
    );
    assert!(!status.out.contains("cause:"), "{status:?}");
    let again = kidp(NAMESPACE, &arguments).await.unwrap();
    assert_eq!(again.code, 1, "it is there already: {again:?}");
}

/// What would change in the cluster, and that nothing has.
async fn compared() {
    let same = file(&[]).await;
    let path = same.path().to_str().unwrap();
    let plan = good(&["plan", "-f", path]).await;
    assert!(plan.out.contains("Database/orders: unchanged"), "{plan:?}");
    let larger = file(&["--size", "medium"]).await;
    for how in [
        &["plan", "-f", larger.path().to_str().unwrap()][..],
        &["plan", "--live", "-f", larger.path().to_str().unwrap()],
    ] {
        let plan = good(how).await;
        assert!(
            plan.out
                .contains("interruption: down while its only pod restarts"),
            "{plan:?}"
        );
    }
    good(&["drift", "db/orders"]).await;
}

/// What somebody changes while no broker is there to put it back is found.
async fn drifted(client: &Client) {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let other = Patch::Merge(json!({"metadata": {"labels": {TEAM: "others"}}}));
    services
        .patch("orders-postgresql", &PatchParams::default(), &other)
        .await
        .unwrap();
    let said = kidp(NAMESPACE, &["drift", "db/orders"]).await.unwrap();
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.contains("Service/orders-postgresql") && said.out.contains("others"),
        "{said:?}"
    );
}

/// The engine answers through a forwarded port, and its password is told to nobody.
async fn connected(client: &Client) {
    let select = ["connect", "db/orders", "--exec", "--", "-tAc", "select 40 + 2"];
    if std::process::Command::new("psql")
        .arg("--version")
        .output()
        .is_ok()
    {
        let said = good(&select).await;
        assert_eq!(said.out.trim(), "42", "{said:?}");
        let password = leaks::password(client, NAMESPACE, "orders-postgresql-connection")
            .await
            .unwrap();
        assert!(!password.is_empty());
        let seen = good(&["status", "db/orders", "-o", "yaml"]).await;
        assert!(!format!("{said:?}{seen:?}").contains(&password));
    } else {
        println!("there is no psql here: connect --exec was not run");
    }
}

/// Nobody takes what no broker can, and a broker that is away is named.
async fn unplaced_and_unreachable(client: &Client, platform: &mut Platform) {
    let far = [
        &["create", "db/far", "--team", "payments", "--region", "nowhere"],
        &NEW[..],
    ]
    .concat();
    good(&far).await;
    let report = wait_cause(NAMESPACE, "db/far", "NotPlaced").await.unwrap();
    assert!(
        report["cause"]["message"].as_str().unwrap().contains("region"),
        "{report}"
    );
    platform.kill_broker().await.unwrap();
    platform.wait_broker(BrokerPhase::Unhealthy).await.unwrap();
    drifted(client).await;
    let databases: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
    let larger = Patch::Merge(json!({"spec": {"size": "medium"}}));
    databases
        .patch("orders", &PatchParams::default(), &larger)
        .await
        .unwrap();
    let report = wait_cause(NAMESPACE, "db/orders", "BrokerUnreachable")
        .await
        .unwrap();
    assert_eq!(report["cause"]["object"], format!("Broker/{BROKER}"), "{report}");
    let waited = kidp(NAMESPACE, &["wait", "db/orders", "--timeout", "1s"])
        .await
        .unwrap();
    assert_eq!(waited.code, 4, "{waited:?}");
    assert!(waited.err.contains("BrokerUnreachable"), "{waited:?}");
}

#[tokio::test]
async fn a_database_is_made_looked_at_and_used_by_the_command_line() {
    let client = begin(NAMESPACE).await.unwrap();
    let mut platform = Platform::start(&client, BROKER, NAMESPACE).await.unwrap();
    made().await;
    connected(&client).await;
    compared().await;
    unplaced_and_unreachable(&client, &mut platform).await;

    platform.start_broker().await.unwrap();
    let databases: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
    for name in ["far", "orders"] {
        databases.delete(name, &DeleteParams::default()).await.unwrap();
    }
    wait_clean::<Database>(&client, NAMESPACE, "orders")
        .await
        .unwrap();
    platform.stop().await.unwrap();
    delete_namespace(&client, NAMESPACE).await.unwrap();
}

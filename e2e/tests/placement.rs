//! Placement over several brokers, as processes: two in one region, one in another.
#![allow(clippy::unwrap_used, clippy::panic)]

use kidp_core::conditions::PLACED;
use kidp_core::crd::{BrokerPhase, Database, ResourceStatus, Tenant};
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{
    begin, change_broker, create, database, wait_clean, wait_for, wait_ready, wait_reason,
};
use kidp_e2e::host::Platform;
use kidp_e2e::process::Process;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-placement";
/// The platform's own broker.
const EAST: &str = "kidp-e2e-placement-east";
const EAST_TOO: &str = "east-too";
const WEST: &str = "west";

struct Scene {
    client: Client,
    platform: Platform,
    east_too: Process,
    west: Process,
}

impl Scene {
    async fn start() -> Self {
        let client = begin(NAMESPACE).await.unwrap();
        let platform = Platform::start(&client, EAST, NAMESPACE).await.unwrap();
        let east = |priority: u32| json!({"region": "east", "priority": priority, "healthCheck": {"failureThreshold": 1}});
        change_broker(&client, EAST, EAST, east(300)).await.unwrap();
        let east_too = platform.add_broker(EAST_TOO, east(200)).await.unwrap();
        let west = json!({"region": "west", "dataResidency": ["XW"]});
        let west = platform.add_broker(WEST, west).await.unwrap();
        for name in [EAST, EAST_TOO, WEST] {
            platform
                .wait_broker_named(name, BrokerPhase::Ready)
                .await
                .unwrap();
        }
        Self {
            client,
            platform,
            east_too,
            west,
        }
    }

    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    async fn create(&self, name: &str, target: Value) {
        let mut wanted = database(NAMESPACE, name).unwrap();
        wanted.metadata.labels = Some([("app".to_owned(), "shop".to_owned())].into());
        wanted.spec.target = Some(serde_json::from_value(target).unwrap());
        self.must(create(&self.client, &wanted).await);
    }

    /// The status once a broker was chosen that `is_meant`.
    async fn placed(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> ResourceStatus {
        let seen = |d: &Database| broker_of(d).is_some_and(&is_meant);
        let what = "to be given to the broker that is meant";
        self.must(wait_for::<Database>(&self.client, NAMESPACE, name, what, seen).await);
        self.databases().get(name).await.unwrap().status.unwrap()
    }

    fn databases(&self) -> Api<Database> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn delete(&self, name: &str) {
        self.databases()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Makes the team one of a tenant whose data stays in that jurisdiction.
    async fn join_tenant(&self, data_residency: &str) {
        let tenants: Api<Tenant> = Api::namespaced(self.client.clone(), NAMESPACE);
        let tenant: Tenant = serde_json::from_value(json!({
            "apiVersion": "platform.company.com/v1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"displayName": "Acme", "dataResidency": data_residency},
        }))
        .unwrap();
        tenants.create(&PostParams::default(), &tenant).await.unwrap();
        let teams: Api<kidp_core::crd::Team> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"spec": {"tenantRef": {"name": "acme"}}}));
        teams
            .patch("payments", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

fn broker_of(database: &Database) -> Option<&str> {
    let broker = database.status.as_ref()?.broker_ref.as_ref()?;
    Some(&broker.name)
}

fn explanation(status: &ResourceStatus) -> &str {
    let placed = status.conditions.iter().find(|c| c.type_ == PLACED).unwrap();
    assert_eq!(
        (placed.status.as_str(), placed.reason.as_str()),
        ("True", "BrokerSelected")
    );
    &placed.message
}

#[tokio::test]
async fn brokers_are_chosen_by_region_neighbours_and_jurisdiction_and_left_only_before_anything_was_sent() {
    let mut s = Scene::start().await;

    s.create("first", json!({"region": "east"})).await;
    let first = s.placed("first", |broker| broker == EAST).await;
    let said = explanation(&first);
    assert!(
        said.starts_with(&format!("`{EAST}/{EAST}` fits with score 4")),
        "{said}"
    );
    assert!(
        said.contains("`west` is not in spec.target.region")
            || said.contains("/west` is not in spec.target.region"),
        "{said}"
    );

    let apart = |topology: &str| json!([{"topologyKey": topology, "matchLabels": {"app": "shop"}}]);
    s.create(
        "apart",
        json!({"region": "east", "antiAffinity": apart("broker")}),
    )
    .await;
    s.placed("apart", |broker| broker == EAST_TOO).await;
    s.create("abroad", json!({"antiAffinity": apart("region")})).await;
    let abroad = s.placed("abroad", |broker| broker == WEST).await;
    assert!(explanation(&abroad).contains("that spec.target.antiAffinity keeps apart"));
    for name in ["first", "apart", "abroad"] {
        s.must(wait_ready::<Database>(&s.client, NAMESPACE, name).await);
    }
    for name in ["apart", "abroad"] {
        s.delete(name).await;
    }

    // Nothing listens there any more, and the operator has not noticed yet: the request cannot be delivered.
    s.platform.kill_broker().await.unwrap();
    s.create("moved", json!({"region": "east"})).await;
    let moved = s.placed("moved", |broker| broker == EAST_TOO).await;
    assert!(
        explanation(&moved).contains(&format!("`{EAST}/{EAST}` is ")),
        "{moved:?}"
    );
    s.must(wait_ready::<Database>(&s.client, NAMESPACE, "moved").await);
    s.must(s.platform.wait_broker(BrokerPhase::Offline).await);
    let kept = s.databases().get("first").await.unwrap();
    assert_eq!(broker_of(&kept), Some(EAST), "what was sent stays where it is");
    s.platform.start_broker().await.unwrap();
    s.must(s.platform.wait_broker(BrokerPhase::Ready).await);

    s.join_tenant("XW").await;
    s.create("at-home", json!({})).await;
    s.placed("at-home", |broker| broker == WEST).await;
    s.create("nowhere", json!({"region": "east"})).await;
    let refused = wait_reason::<Database>(&s.client, NAMESPACE, "nowhere", "NoBroker").await;
    let conditions = s.must(refused).status.unwrap().conditions;
    assert!(
        conditions[0]
            .message
            .contains("does not keep data in the tenant's spec.dataResidency"),
        "{conditions:?}"
    );
    let left = ["first", "moved", "at-home", "nowhere"];
    for name in left {
        s.delete(name).await;
    }
    for name in left {
        s.must(wait_clean::<Database>(&s.client, NAMESPACE, name).await);
    }
    s.east_too.terminate().await.unwrap();
    s.west.terminate().await.unwrap();
    s.platform.stop().await.unwrap();
    delete_namespace(&s.client, NAMESPACE).await.unwrap();
}

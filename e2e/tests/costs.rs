//! Costs as a user meets them: the estimate in a status, usage that outlives its resource, and a report for those who may
//! see it. And what the API server refuses of a price book by itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kidp_core::crd::{Database, PriceBook, UsageInterval, UsageRecord};
use kidp_e2e::cli::kidp;
use kidp_e2e::cluster::{FIELD_MANAGER, connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create, create_team, database, wait_clean, wait_for, wait_ready};
use kidp_e2e::host::{Options, Platform};
use kidp_e2e::process::{binaries, free_port};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-costs";

/// Tests write to objects that have no namespace, so each takes the name of its own.
async fn apply<K>(client: &Client, name: &str, object: Value) -> kube::Result<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let params = PatchParams::apply(FIELD_MANAGER).force();
    Api::<K>::all(client.clone())
        .patch(name, &params, &Patch::Apply(object))
        .await
}

fn book(name: &str, rates: &Value) -> Value {
    json!({"apiVersion": "platform.company.com/v1", "kind": "PriceBook", "metadata": {"name": name},
        "spec": {"currency": "EUR", "rates": rates}})
}

/// A token of a service account, for the audience that costs are asked with.
async fn token(client: &Client, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let object = serde_json::from_value(json!({"metadata": {"name": account}})).unwrap();
    accounts.create(&PostParams::default(), &object).await.unwrap();
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec!["kidp-costs".to_owned()]),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let answer = accounts.create_token_request(account, &params, &request);
    answer.await.unwrap().status.unwrap().token.unwrap()
}

/// Lets one service account read costs, by the role that is shipped.
async fn allow(client: &Client, account: &str) {
    let manifests = include_str!("../../deploy/manifests/operator/rbac.yaml");
    let shipped = serde_yaml_ng::Deserializer::from_str(manifests)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap())
        .find(|object| object["metadata"]["name"] == "kidp-cost-reader");
    let mut role = shipped.unwrap();
    role["metadata"]["name"] = NAMESPACE.into();
    apply::<ClusterRole>(client, NAMESPACE, role).await.unwrap();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAMESPACE},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]});
    apply::<ClusterRoleBinding>(client, NAMESPACE, binding)
        .await
        .unwrap();
}

/// Removes what has no namespace.
async fn tidy(client: &Client) {
    let params = DeleteParams::default();
    drop(
        Api::<PriceBook>::all(client.clone())
            .delete(NAMESPACE, &params)
            .await,
    );
    drop(
        Api::<ClusterRole>::all(client.clone())
            .delete(NAMESPACE, &params)
            .await,
    );
    drop(
        Api::<ClusterRoleBinding>::all(client.clone())
            .delete(NAMESPACE, &params)
            .await,
    );
    for record in records(client).await {
        drop(
            Api::<UsageRecord>::all(client.clone())
                .delete(&record.name_any(), &params)
                .await,
        );
    }
}

async fn records(client: &Client) -> Vec<UsageRecord> {
    let all = Api::<UsageRecord>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    let ours = all
        .items
        .into_iter()
        .filter(|record| record.spec.resource.namespace == NAMESPACE);
    ours.collect()
}

struct Asker {
    http: reqwest::Client,
    url: String,
}

impl Asker {
    async fn ask(&self, token: Option<&str>, query: &str) -> (u16, String) {
        let mut request = self
            .http
            .get(format!("{}/v1/costs{query}", self.url))
            .timeout(Duration::from_secs(10));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// Without a book that is said; with one, the estimate follows without another change.
async fn estimated(client: &Client, platform: &Platform) {
    let must = |result: kidp_e2e::Result<Database>| {
        result.unwrap_or_else(|error| panic!("{error}\n{}", platform.log_tails()))
    };

    must(create(client, &database(NAMESPACE, "orders").unwrap()).await);
    let told = |reason: &'static str| {
        move |db: &Database| {
            let conditions = db
                .status
                .as_ref()
                .map(|s| s.conditions.clone())
                .unwrap_or_default();
            conditions
                .iter()
                .any(|c| c.type_ == "CostEstimated" && c.reason == reason)
        }
    };
    let unpriced = must(
        wait_for(
            client,
            NAMESPACE,
            "orders",
            "to say that there is no price",
            told("NoPriceBook"),
        )
        .await,
    );
    assert_eq!(unpriced.status.unwrap().cost, None);
    let rates =
        json!([{"name": "all", "cpuHour": "0.05", "memoryGiBHour": "0.01", "storageGiBMonth": "0.10"}]);
    apply::<PriceBook>(client, NAMESPACE, book(NAMESPACE, &rates))
        .await
        .unwrap();
    let priced = must(wait_for(client, NAMESPACE, "orders", "to have a cost", told("Estimated")).await);
    let cost = priced.status.unwrap().cost.unwrap();
    // (0.05 + 2 × 0.01) × 730 + 0.10.
    assert_eq!((cost.estimated_monthly, cost.currency.as_str()), (51.2, "EUR"));
    must(wait_ready(client, NAMESPACE, "orders").await);
}

/// The report is of what was used, so it outlives the resource.
async fn reported(asker: &Asker, reader: &str, interval: &UsageInterval) {
    let from = interval.from.0.to_string();
    let (code, body) = asker
        .ask(Some(reader), &format!("?groupBy=resource&from={from}"))
        .await;
    assert_eq!(code, 200, "{body}");
    let report: Value = serde_json::from_str(&body).unwrap();
    let group = &report["groups"][0];
    assert_eq!(group["key"], format!("{NAMESPACE}/Database/orders"));
    let seconds = interval.to.as_ref().unwrap().0.as_second() - interval.from.0.as_second();
    let expected = 51.2 / 730.0 / 3600.0 * f64::from(u32::try_from(seconds).unwrap());
    let cost: f64 = group["cost"].as_str().unwrap().parse().unwrap();
    assert!(
        (cost - expected).abs() < 1e-6,
        "{cost} for {seconds} s, not {expected}"
    );
    let (_, focus) = asker
        .ask(Some(reader), &format!("?format=focus&from={from}"))
        .await;
    assert_eq!(focus.lines().count(), 4, "cpu, memory and storage: {focus}");
}

/// The command line gives the token from a file, and shows what the operator says.
async fn told_by_the_command_line(asker: &Asker, reader: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("token"), reader).unwrap();
    let wanted = serde_json::to_string(&database(NAMESPACE, "orders").unwrap()).unwrap();
    std::fs::write(path("orders.json"), wanted).unwrap();
    let door = ["--operator-url", &asker.url, "--token-file", &path("token")].map(str::to_owned);
    let ask = async |command: &[&str]| {
        let all: Vec<_> = command
            .iter()
            .copied()
            .chain(door.iter().map(String::as_str))
            .collect();
        kidp(NAMESPACE, &all).await.unwrap()
    };
    let sums = ask(&["costs", "--group-by", "resource"]).await;
    assert_eq!(sums.code, 0, "{sums:?}");
    assert!(
        sums.out.contains(&format!("{NAMESPACE}/Database/orders")),
        "{sums:?}"
    );
    let estimate = ask(&["estimate", "-f", &path("orders.json")]).await;
    assert_eq!(estimate.code, 0, "{estimate:?}");
    assert!(estimate.out.contains("51.20 EUR"), "{estimate:?}");
    let wrong = ask(&["costs", "--from", "yesterday"]).await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("from: "), "{wrong:?}");
    assert!(!format!("{sums:?}{estimate:?}{wrong:?}").contains(reader));
}

#[tokio::test]
async fn a_database_costs_what_the_book_says_and_only_who_may_is_told() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    tidy(&client).await;
    purge(&client, NAMESPACE).await.unwrap();
    create_namespace(&client, NAMESPACE).await.unwrap();
    create_team(&client, NAMESPACE).await.unwrap();
    let port = free_port().unwrap();
    let options = Options {
        operator: [
            "--price-book",
            NAMESPACE,
            "--costs-listen",
            &format!("127.0.0.1:{port}"),
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Options::default()
    };
    let broker = format!("{NAMESPACE}-broker");
    let platform = Platform::start_with(&client, &broker, NAMESPACE, &binaries().unwrap(), options)
        .await
        .unwrap();
    estimated(&client, &platform).await;

    let (reader, stranger) = (token(&client, "reader").await, token(&client, "stranger").await);
    allow(&client, "reader").await;
    let asker = Asker {
        http: reqwest::Client::new(),
        url: format!("http://127.0.0.1:{port}"),
    };
    assert_eq!(asker.ask(None, "").await.0, 401);
    assert_eq!(asker.ask(Some("not-a-token"), "").await.0, 401);
    let (code, body) = asker.ask(Some(&stranger), "").await;
    assert_eq!(code, 403, "{body}");
    assert!(!body.contains("EUR") && !body.contains(&stranger), "{body}");

    let live = records(&client).await;
    assert_eq!(live.len(), 1, "{live:?}");
    assert_eq!(live[0].spec.intervals.len(), 1);
    let databases: Api<Database> = Api::namespaced(client.clone(), NAMESPACE);
    databases
        .delete("orders", &DeleteParams::default())
        .await
        .unwrap();
    wait_clean::<Database>(&client, NAMESPACE, "orders")
        .await
        .unwrap();
    let ended = records(&client).await;
    let interval = &ended[0].spec.intervals[0];
    assert!(
        interval.to.is_some(),
        "usage ends before the finalizer leaves: {ended:?}"
    );
    assert_eq!(interval.charge_to.team, "payments");

    reported(&asker, &reader, interval).await;
    told_by_the_command_line(&asker, &reader).await;

    platform.stop().await.unwrap();
    tidy(&client).await;
    delete_namespace(&client, NAMESPACE).await.unwrap();
}

#[tokio::test]
async fn the_api_server_refuses_prices_that_are_none_and_keeps_those_that_are() {
    let client = connect().await.unwrap();
    install_crds(&client).await.unwrap();
    let name = "kidp-e2e-costs-rules";
    let books: Api<PriceBook> = Api::all(client.clone());
    drop(books.delete(name, &DeleteParams::default()).await);
    let good = json!([{"name": "all", "instanceHour": "0.05"}]);
    apply::<PriceBook>(&client, name, book(name, &good))
        .await
        .unwrap();
    let refused = async |rates: Value, text: &str| {
        let error = apply::<PriceBook>(&client, name, book(name, &rates))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(
        json!([{"name": "all", "instanceHour": "0.06"}]),
        "a rate is fixed once it is there",
    )
    .await;
    refused(
        json!([{"name": "x", "instanceHour": "-1"}]),
        "spec.rates[0].instanceHour",
    )
    .await;
    refused(
        json!([{"name": "x", "cpuHour": "1"}]),
        "cpuHour and memoryGiBHour go together",
    )
    .await;
    refused(json!([{"name": "x"}]), "a rate needs a price").await;
    refused(
        json!([{"name": "x", "instanceHour": "1", "cpuHour": "1", "memoryGiBHour": "1"}]),
        "instanceHour excludes",
    )
    .await;
    let later =
        json!([good[0], {"name": "all-2", "effectiveFrom": "2027-01-01T00:00:00Z", "instanceHour": "0.06"}]);
    apply::<PriceBook>(&client, name, book(name, &later))
        .await
        .unwrap();
    let mut dollars = book(name, &good);
    dollars["spec"]["currency"] = "USD".into();
    let error = apply::<PriceBook>(&client, name, dollars)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("currency is fixed at creation"), "{error}");
    books.delete(name, &DeleteParams::default()).await.unwrap();
}

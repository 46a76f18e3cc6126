//! Validating admission on a real cluster, with two replicas of the operator under their shipped rights: who wins at a
//! limit, what is refused and with which field, a certificate that changes, and what passes while no replica answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kidp_core::crd::{Application, Broker, Database, PriceBook, Team, Tenant};
use kidp_e2e::cli::kidp;
use kidp_e2e::cluster::{
    apply, connect, create_namespace, delete_namespace, install_crds, purge, read_manifests,
};
use kidp_e2e::fixtures::create_broker;
use kidp_e2e::pods::{OPERATOR_NAMESPACE, workspace};
use kidp_e2e::process::free_port;
use kidp_e2e::tenancy::{Operator, revoke, rights};
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const HOME: &str = "kidp-e2e-admission";
/// Namespaces whose creations are judged by the first and by the second replica.
const FIRST: &str = "kidp-e2e-admission-a";
const SECOND: &str = "kidp-e2e-admission-b";
const LIMIT: Duration = Duration::from_secs(30);

fn platform<K: serde::de::DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: &Value) -> K {
    serde_json::from_value(json!({"apiVersion": "platform.company.com/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec}))
    .unwrap()
}

fn database(namespace: &str, name: &str, team: &str) -> Database {
    let owner = json!({"kind": "Team", "name": team, "namespace": HOME});
    let spec = json!({"owner": owner, "engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}});
    platform("Database", namespace, name, &spec)
}

fn team(name: &str, more: &Value) -> Team {
    let mut spec = json!({"displayName": name, "owners": ["ada"]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    platform("Team", HOME, name, &spec)
}

fn dry() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// The shipped webhook configuration, for the namespaces of this test alone, and once for each replica.
fn configuration(ports: [u16; 2]) -> ValidatingWebhookConfiguration {
    let folder = workspace().join("deploy/manifests/admission");
    let objects = read_manifests(&folder).unwrap();
    let shipped = objects
        .into_iter()
        .find(|o| o.types.as_ref().unwrap().kind == "ValidatingWebhookConfiguration")
        .unwrap();
    let mut configuration: ValidatingWebhookConfiguration = shipped.try_parse().unwrap();
    let shipped = configuration.webhooks.take().unwrap();
    let replicas = [("a", vec![HOME, FIRST], ports[0]), ("b", vec![SECOND], ports[1])];
    let of = |(prefix, namespaces, port): &(&str, Vec<&str>, u16)| {
        let selector = LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "kubernetes.io/metadata.name".into(),
                operator: "In".into(),
                values: Some(namespaces.iter().map(|n| (*n).to_owned()).collect()),
            }]),
            ..LabelSelector::default()
        };
        let webhooks = shipped.iter().cloned().map(move |mut webhook| {
            let path = webhook.client_config.service.take().unwrap().path.unwrap();
            webhook.name = format!("{prefix}.{}", webhook.name);
            webhook.namespace_selector = Some(selector.clone());
            webhook.client_config = WebhookClientConfig {
                url: Some(format!("https://127.0.0.1:{port}{path}")),
                ..WebhookClientConfig::default()
            };
            webhook
        });
        webhooks.collect::<Vec<_>>()
    };
    configuration.webhooks = Some(replicas.iter().flat_map(of).collect());
    configuration
}

/// The rights of the shipped manifests, but for the configuration and what kustomize needs.
fn all_rights() -> Vec<DynamicObject> {
    let more = read_manifests(&workspace().join("deploy/manifests/admission")).unwrap();
    let mut all = rights().unwrap();
    all.extend(
        more.into_iter()
            .filter(|o| o.types.as_ref().unwrap().kind != "ValidatingWebhookConfiguration"),
    );
    all
}

struct Scene {
    client: Client,
    replicas: Vec<Operator>,
    ports: [u16; 2],
    folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let client = connect().await.unwrap();
        install_crds(&client).await.unwrap();
        clean(&client).await;
        for namespace in [HOME, FIRST, SECOND] {
            create_namespace(&client, namespace).await.unwrap();
        }
        apply(&client, &all_rights()).await.unwrap();
        let ports = [free_port().unwrap(), free_port().unwrap()];
        let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        api.create(&PostParams::default(), &configuration(ports))
            .await
            .unwrap();
        let mut scene = Self {
            client,
            replicas: Vec::new(),
            ports,
            folder: tempfile::tempdir().unwrap(),
        };
        for index in [0, 1] {
            let replica = scene.replica(index, "127.0.0.1").await;
            scene.replicas.push(replica);
        }
        for namespace in [FIRST, SECOND] {
            scene.wait_judged(namespace).await;
        }
        scene
    }

    async fn replica(&self, index: usize, hosts: &str) -> Operator {
        let name = format!("operator-{index}-{}", hosts.len());
        let arguments = [
            format!("--admission-listen=127.0.0.1:{}", self.ports[index]),
            format!("--admission-host={hosts}"),
            "--leader-elect".to_owned(),
            format!("--identity={name}"),
            format!("--price-book={HOME}"),
            format!("--costs-listen=127.0.0.1:{}", free_port().unwrap()),
        ];
        Operator::start(&self.client, &self.folder, &name, &arguments)
            .await
            .unwrap()
    }

    /// Waits until creations in the namespace are judged by somebody.
    async fn wait_judged(&self, namespace: &str) {
        let api: Api<Database> = Api::namespaced(self.client.clone(), namespace);
        let seen = until("admission to judge", LIMIT, async || {
            let said = api.create(&dry(), &database(namespace, "x", "nobody")).await;
            let said = said.err().map(|e| e.to_string()).unwrap_or_default();
            let judged = said.contains("spec.owner: there is no Team `nobody`");
            Ok(if judged {
                Seen::Done(())
            } else {
                Seen::NotYet(said)
            })
        });
        seen.await.unwrap_or_else(|e| panic!("{e}\n{}", self.logs()));
    }

    fn logs(&self) -> String {
        self.replicas
            .iter()
            .map(Operator::log_tail)
            .collect::<Vec<_>>()
            .join("\n---\n")
    }

    fn databases(&self, namespace: &str) -> Api<Database> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create_team(&self, name: &str, more: &Value) {
        let api: Api<Team> = Api::namespaced(self.client.clone(), HOME);
        api.create(&PostParams::default(), &team(name, more))
            .await
            .unwrap_or_else(|e| panic!("{e}\n{}", self.logs()));
    }

    /// Creates `count` databases at once, in turn at both replicas and for each of the teams; gives the refusals.
    async fn race(&self, prefix: &str, count: usize, teams: &[&str]) -> Vec<String> {
        let start = Instant::now();
        let creations = (0..count).map(|n| {
            let namespace = [FIRST, SECOND][n % 2];
            let database = database(namespace, &format!("{prefix}-{n}"), teams[(n / 2) % teams.len()]);
            let api = self.databases(namespace);
            async move { api.create(&PostParams::default(), &database).await }
        });
        let results = join_all(creations).await;
        let refused: Vec<_> = results
            .into_iter()
            .filter_map(Result::err)
            .map(|e| e.to_string())
            .collect();
        println!(
            "{prefix}: {count} creations at 2 replicas in {:?}: {} made, {} refused",
            start.elapsed(),
            count - refused.len(),
            refused.len()
        );
        refused
    }
}

async fn clean(client: &Client) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let _ = api.delete("kidp-operator", &DeleteParams::default()).await;
    let books: Api<PriceBook> = Api::all(client.clone());
    let _ = books.delete(HOME, &DeleteParams::default()).await;
    // While it is there a price is known, and the test begins without one.
    let brokers: Api<Broker> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let _ = brokers.delete("somewhere", &DeleteParams::default()).await;
    purge(client, HOME).await.unwrap();
    // Made by the operator, not by the harness; deleting what is not there is fine.
    delete_namespace(client, &format!("{HOME}-own")).await.unwrap();
}

/// What may not be named, with the field.
async fn references(scene: &Scene) {
    let c = &scene.client;
    let applications: Api<Application> = Api::namespaced(c.clone(), FIRST);
    let spec = json!({"displayName": "x", "teamRef": {"name": "nobody", "namespace": HOME}});
    let app: Application = platform("Application", FIRST, "x", &spec);
    let said = applications.create(&dry(), &app).await.unwrap_err().to_string();
    assert!(said.contains("spec.teamRef: there is no Team `nobody`"), "{said}");

    let teams: Api<Team> = Api::namespaced(c.clone(), HOME);
    let lost = team("lost", &json!({"tenantRef": {"name": "nobody"}}));
    let said = teams.create(&dry(), &lost).await.unwrap_err().to_string();
    assert!(
        said.contains("spec.tenantRef: there is no Tenant `nobody`"),
        "{said}"
    );

    // A team with a place of its own is not named from another.
    scene
        .create_team("own", &json!({"namespaces": [{"name": format!("{HOME}-own")}]}))
        .await;
    let said = scene
        .databases(FIRST)
        .create(&dry(), &database(FIRST, "x", "own"))
        .await;
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("spec.owner") && said.contains("is none of them"),
        "{said}"
    );
}

async fn races(scene: &Scene) {
    scene
        .create_team("red", &json!({"quotas": {"maxDatabases": 5}}))
        .await;
    let refused = scene.race("red", 20, &["red"]).await;
    assert_eq!(refused.len(), 15, "{refused:#?}\n{}", scene.logs());
    for said in &refused {
        let wanted = "used 5, asked 1, limit 5 (spec.quotas.maxDatabases)";
        assert!(said.contains(wanted) && said.contains("spec.owner"), "{said}");
    }
    println!("{}", refused[0]);

    let tenants: Api<Tenant> = Api::namespaced(scene.client.clone(), HOME);
    let spec = json!({"displayName": "Acme", "quotas": {"maxServices": 3, "maxTeams": 2}});
    let tenant: Tenant = platform("Tenant", HOME, "acme", &spec);
    tenants.create(&PostParams::default(), &tenant).await.unwrap();
    for name in ["one", "two"] {
        scene
            .create_team(name, &json!({"tenantRef": {"name": "acme"}}))
            .await;
    }
    let teams: Api<Team> = Api::namespaced(scene.client.clone(), HOME);
    let third = team("three", &json!({"tenantRef": {"name": "acme"}}));
    let said = teams
        .create(&PostParams::default(), &third)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("used 2, asked 1, limit 2 (spec.quotas.maxTeams)"),
        "{said}"
    );
    let refused = scene.race("acme", 12, &["one", "two"]).await;
    assert_eq!(refused.len(), 9, "{refused:#?}\n{}", scene.logs());
    assert!(
        refused
            .iter()
            .all(|said| said.contains("used 3, asked 1, limit 3 (spec.quotas.maxServices)"))
    );
}

/// A budget holds like a quota does: of the estimates, at both replicas, under way included.
async fn budgets(scene: &Scene) {
    let prices: Api<PriceBook> = Api::all(scene.client.clone());
    let book: PriceBook = serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": "PriceBook", "metadata": {"name": HOME},
        "spec": {"currency": "EUR", "rates": [{"name": "all", "instanceHour": "0.05", "storageGiBMonth": "0.10"}]}}))
    .unwrap();
    prices.create(&PostParams::default(), &book).await.unwrap();
    let budget =
        |limit: u32, currency: &str| json!({"budget": {"monthlyLimit": limit, "currency": currency}});
    // Until there is a broker that it may come to, no price is known, and nothing is refused for it.
    scene.create_team("poor", &budget(1, "EUR")).await;
    let poor = database(FIRST, "poor", "poor");
    scene.databases(FIRST).create(&dry(), &poor).await.unwrap();

    create_broker(
        &scene.client,
        OPERATOR_NAMESPACE,
        "somewhere",
        "http://127.0.0.1:9",
    )
    .await
    .unwrap();
    let judged = until("the price to be known", LIMIT, async || {
        let mut said = Vec::new();
        for namespace in [FIRST, SECOND] {
            let poor = database(namespace, "poor", "poor");
            said.extend(scene.databases(namespace).create(&dry(), &poor).await.err());
        }
        Ok(if said.len() == 2 {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{said:?}"))
        })
    });
    judged.await.unwrap_or_else(|e| panic!("{e}\n{}", scene.logs()));

    scene.create_team("thrifty", &budget(80, "EUR")).await;
    let refused = scene.race("thrifty", 10, &["thrifty"]).await;
    assert_eq!(refused.len(), 8, "{refused:#?}\n{}", scene.logs());
    let wanted =
        "used 73.20 EUR a month, asked 36.60 EUR a month, limit 80.00 EUR a month (spec.budget.monthlyLimit)";
    assert!(refused.iter().all(|said| said.contains(wanted)), "{refused:#?}");
    println!("{}", refused[0]);
    growth(scene).await;

    scene.create_team("abroad", &budget(1, "USD")).await;
    let abroad = database(FIRST, "abroad", "abroad");
    scene.databases(FIRST).create(&dry(), &abroad).await.unwrap();
    prices.delete(HOME, &DeleteParams::default()).await.unwrap();
}

/// The two that the thrifty team could afford cannot both grow, though each could, and what is not dearer passes.
async fn growth(scene: &Scene) {
    let mut thrifty = Vec::new();
    for namespace in [FIRST, SECOND] {
        let all = scene
            .databases(namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        let names = all
            .iter()
            .filter(|d| d.spec.owner.name == "thrifty")
            .map(ResourceExt::name_any);
        thrifty.extend(names.map(|name| (namespace, name)));
    }
    assert_eq!(thrifty.len(), 2, "{thrifty:?}");
    let patch = async |(namespace, name): &(&str, String), spec: Value| {
        let change = Patch::Merge(json!({"spec": spec}));
        let api = scene.databases(namespace);
        api.patch(name, &PatchParams::default(), &change).await
    };
    let more = || json!({"storage": {"size": "60Gi"}});
    let results = join_all(thrifty.iter().map(|database| patch(database, more()))).await;
    let refused: Vec<_> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(refused.len(), 1, "{refused:#?}\n{}", scene.logs());
    println!("{}", refused[0]);
    assert!(refused[0].contains("spec.storage: Team"), "{}", refused[0]);
    assert!(refused[0].contains("limit 80.00 EUR a month"), "{}", refused[0]);
    // Every size costs the same in this book.
    for database in &thrifty {
        patch(database, json!({"size": "medium"})).await.unwrap();
    }
}

/// Dry runs take no place, and what changes nothing about the owner needs none.
async fn no_place_taken(scene: &Scene) {
    scene
        .create_team("dry", &json!({"quotas": {"maxDatabases": 1}}))
        .await;
    let api = scene.databases(FIRST);
    for n in 0..3 {
        api.create(&dry(), &database(FIRST, &format!("dry-{n}"), "dry"))
            .await
            .unwrap();
    }
    api.create(&PostParams::default(), &database(FIRST, "dry-0", "dry"))
        .await
        .unwrap();
    told_by_the_command_line().await;
    let params = PatchParams::default();
    let larger = Patch::Merge(json!({"spec": {"size": "medium"}}));
    api.patch("dry-0", &params, &larger).await.unwrap();
    // To another team that has no room left.
    let moved = Patch::Merge(json!({"spec": {"owner": {"name": "red"}}}));
    let said = api.patch("dry-0", &params, &moved).await.unwrap_err().to_string();
    assert!(said.contains("used 5, asked 1, limit 5"), "{said}");
}

/// The command line tells a full quota from a request that is not allowed, and says what to do.
async fn told_by_the_command_line() {
    let line = "create db/dry-1 --team dry --owner-namespace OWNERS --engine postgresql --engine-version 15 --storage 1Gi";
    let line = line.replace("OWNERS", HOME);
    let said = kidp(FIRST, &line.split(' ').collect::<Vec<_>>()).await.unwrap();
    assert_eq!(said.code, 1, "{said:?}");
    for text in ["spec.quotas.maxDatabases", "delete what is not needed"] {
        assert!(said.err.contains(text), "{said:?}");
    }
}

/// A replica with another certificate: the authorities of both are believed.
async fn renewed(scene: &mut Scene) {
    scene.replicas.remove(0).kill().await.unwrap();
    let replica = scene.replica(0, "127.0.0.1,localhost").await;
    scene.replicas.insert(0, replica);
    scene.wait_judged(FIRST).await;
    let api: Api<ValidatingWebhookConfiguration> = Api::all(scene.client.clone());
    let live = api.get("kidp-operator").await.unwrap();
    let count = |bundle: &ByteString| String::from_utf8_lossy(&bundle.0).matches("BEGIN CERT").count();
    for webhook in live.webhooks.unwrap() {
        let bundle = webhook.client_config.ca_bundle.unwrap();
        assert_eq!(count(&bundle), 2, "the new authority and the one before it");
    }
    // The other replica still serves the old certificate.
    scene.wait_judged(SECOND).await;
    println!("certificate renewed: both replicas are believed");
}

/// While no replica answers: nothing of the kinds that count is created; everything else goes on.
async fn away(scene: &mut Scene) {
    for replica in scene.replicas.drain(..) {
        replica.kill().await.unwrap();
    }
    let api = scene.databases(FIRST);
    let params = PatchParams::default();
    let said = api
        .create(&dry(), &database(FIRST, "late", "dry"))
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("failed calling webhook"), "{said}");
    let spec = json!({"displayName": "x", "teamRef": {"name": "dry", "namespace": HOME}});
    let applications: Api<Application> = Api::namespaced(scene.client.clone(), FIRST);
    let app: Application = platform("Application", FIRST, "late", &spec);
    assert!(applications.create(&dry(), &app).await.is_err());

    let maps: Api<ConfigMap> = Api::namespaced(scene.client.clone(), FIRST);
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "passes"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), FIRST);
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "passes"}, "spec": {
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": "c", "securityContext":
            {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}))
    .unwrap();
    pods.create(&dry(), &pod).await.unwrap();
    let larger = Patch::Merge(json!({"spec": {"size": "large"}}));
    let said = api
        .patch("dry-0", &params, &larger)
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("failed calling webhook"), "{said}");
    let tuned = Patch::Merge(json!({"spec": {"parameters": {"work_mem": "8MB"}}}));
    api.patch("dry-0", &params, &tuned).await.unwrap();
    let phase = Patch::Merge(json!({"status": {"phase": "Pending"}}));
    api.patch_status("dry-0", &params, &phase).await.unwrap();
    let teams: Api<Team> = Api::namespaced(scene.client.clone(), HOME);
    let plain = team("plain", &json!({}));
    teams.create(&PostParams::default(), &plain).await.unwrap();
    api.delete("dry-0", &DeleteParams::default()).await.unwrap();
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    if let Some(held) = api.get_opt("dry-0").await.unwrap() {
        api.patch(&held.name_any(), &params, &free).await.unwrap();
    }
    assert!(
        api.get_opt("dry-0").await.unwrap().is_none(),
        "deletion does not wait for admission"
    );
    println!(
        "no replica: Database, larger Database and Application refused; ConfigMap, Pod, parameter, status, finalizer, deletion pass"
    );
}

#[tokio::test]
async fn admission_lets_through_what_there_is_room_for_and_fails_closed() {
    let mut scene = Scene::start().await;
    references(&scene).await;
    races(&scene).await;
    budgets(&scene).await;
    no_place_taken(&scene).await;
    renewed(&mut scene).await;
    away(&mut scene).await;
    clean(&scene.client).await;
    revoke(&scene.client, &all_rights()).await.unwrap();
}

//! Teams with namespaces of their own, on a real cluster and with the operator under its shipped rights: what one team
//! may do to another, each attempt a row; what is put back; and the order of removal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attempts;

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kidp_core::conditions::{READY, is_true};
use kidp_core::crd::{Application, Database, ServiceResource, Team};
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::tenancy::{Operator, client_of, revoke, rights};
use kidp_e2e::wait::{Seen, until};
use kidp_e2e::{Error, Result};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use attempts::{Attempt, table};

const HOME: &str = "kidp-e2e-tenancy";
const LIMIT: Duration = Duration::from_secs(30);

fn space(team: &str) -> String {
    format!("{HOME}-{team}")
}

fn team(name: &str, namespaces: &Value) -> Team {
    serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": "Team", "metadata": {"name": name, "namespace": HOME},
        "spec": {"displayName": name, "owners": [format!("{name}-owner")], "members": [format!("{name}-member")],
            "namespaces": namespaces},
    }))
    .unwrap()
}

fn owned(kind: &str, name: &str, owner: &Value) -> Value {
    json!({"apiVersion": "platform.company.com/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"owner": owner, "engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}})
}

fn of_team(name: &str, team: &str) -> Value {
    owned(
        "Database",
        name,
        &json!({"kind": "Team", "name": team, "namespace": HOME}),
    )
}

struct Scene {
    client: Client,
    operator: Operator,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let client = connect().await.unwrap();
        install_crds(&client).await.unwrap();
        clean(&client).await;
        create_namespace(&client, HOME).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["--poll-max-ms=1000".to_owned()];
        let operator = Operator::start(&client, &folder, "operator", &arguments)
            .await
            .unwrap();
        Self {
            client,
            operator,
            _folder: folder,
        }
    }

    fn must<T>(&self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.operator.log_tail()))
    }

    fn teams(&self) -> Api<Team> {
        Api::namespaced(self.client.clone(), HOME)
    }

    async fn team_is(&self, name: &str, what: &str, accept: impl Fn(&[Condition]) -> bool) {
        let teams = self.teams();
        let what = format!("team {name} {what}");
        let seen = until(&what, LIMIT, async || {
            let team = teams.get(name).await.map_err(|e| failed(&e))?;
            let status = team.status.unwrap_or_default();
            let current = status.observed_generation == team.metadata.generation;
            Ok(if current && accept(&status.conditions) {
                Seen::Done(())
            } else {
                Seen::NotYet(serde_json::to_string(&status).unwrap_or_default())
            })
        });
        self.must(seen.await);
    }

    async fn says(&self, name: &str, reason: &str) -> String {
        self.team_is(name, reason, |all| all.iter().any(|c| c.reason == reason))
            .await;
        let status = self.teams().get_status(name).await.unwrap().status.unwrap();
        status.conditions[0].message.clone()
    }

    async fn make(&self, name: &str) {
        let team = team(name, &json!([{"name": space(name)}]));
        self.teams().create(&PostParams::default(), &team).await.unwrap();
        self.team_is(name, "to be Ready", |all| is_true(all, READY)).await;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("orders-connection".into()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &space(name));
        secrets.create(&PostParams::default(), &secret).await.unwrap();
        let owner = client_of(&format!("{name}-owner")).await.unwrap();
        let orders: Database = serde_json::from_value(of_team("orders", name)).unwrap();
        let databases: Api<Database> = Api::namespaced(owner, &space(name));
        // The authorizer learns of a binding a moment after it is made.
        let made = until("the owner to create a database", LIMIT, async || {
            Ok(match databases.create(&PostParams::default(), &orders).await {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        });
        self.must(made.await);
    }
}

fn failed(error: &kube::Error) -> Error {
    Error::Document {
        doing: "asking the API server".into(),
        reason: error.to_string(),
    }
}

async fn clean(client: &Client) {
    purge(client, HOME).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in ["red", "blue", "taken"].map(space) {
        if namespaces.get_opt(&name).await.unwrap().is_some() {
            let databases: Api<Database> = Api::namespaced(client.clone(), &name);
            for left in databases.list(&kube::api::ListParams::default()).await.unwrap() {
                let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                let _ = databases
                    .patch(&left.name_any(), &PatchParams::default(), &patch)
                    .await;
            }
            delete_namespace(client, &name).await.unwrap();
        }
    }
}

async fn reason_of<K: ServiceResource>(scene: &Scene, namespace: &str, name: &str, reason: &str) {
    let result = kidp_e2e::fixtures::wait_reason::<K>(&scene.client, namespace, name, reason).await;
    scene.must(result);
}

/// References across teams, made by an owner who may create in a place of their own.
async fn references(scene: &Scene) {
    let (red, blue) = (space("red"), space("blue"));
    let theirs: Application = serde_json::from_value(json!({
        "apiVersion": "platform.company.com/v1", "kind": "Application", "metadata": {"name": "shop"},
        "spec": {"displayName": "Shop", "teamRef": {"name": "blue", "namespace": HOME}}}))
    .unwrap();
    let blue_owner = client_of("blue-owner").await.unwrap();
    let applications: Api<Application> = Api::namespaced(blue_owner, &blue);
    applications
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    let red_owner = client_of("red-owner").await.unwrap();
    let app =
        |name: &str, namespace: &str| json!({"kind": "Application", "name": name, "namespace": namespace});
    let databases: Api<Database> = Api::namespaced(red_owner.clone(), &red);
    for (name, owner) in [
        (
            "of-team",
            json!({"kind": "Team", "name": "blue", "namespace": HOME}),
        ),
        ("of-app", app("shop", &blue)),
        ("of-own-app", app("shop", &red)),
    ] {
        let database: Database = serde_json::from_value(owned("Database", name, &owner)).unwrap();
        databases.create(&PostParams::default(), &database).await.unwrap();
    }
    // An application in one's own place that names the other's team: what it owns is not the team's either.
    let applications: Api<Application> = Api::namespaced(red_owner, &red);
    applications
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    for name in ["of-team", "of-app", "of-own-app"] {
        reason_of::<Database>(scene, &red, name, "OwnerNotAllowed").await;
        println!("red-owner    refer   OwnerNotAllowed  {red}/{name}");
    }
    let said = until("the application to say TeamNotAllowed", LIMIT, async || {
        let app = applications.get("shop").await.map_err(|e| failed(&e))?;
        let conditions = app.status.unwrap_or_default().conditions;
        Ok(if conditions.iter().any(|c| c.reason == "TeamNotAllowed") {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{conditions:?}"))
        })
    });
    scene.must(said.await);
    println!("red-owner    refer   TeamNotAllowed   {red}/shop");
    applications
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    for name in ["of-team", "of-app", "of-own-app"] {
        databases.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

/// A look at a team that is as it should be writes nothing.
async fn at_rest(scene: &Scene) {
    let touched = Patch::Merge(json!({"metadata": {"annotations": {"touched": "true"}}}));
    for name in ["red", "blue"] {
        scene
            .team_is(name, "to be Ready", |all| is_true(all, READY))
            .await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.operator.api.reset();
    scene.operator.api.record_reads();
    let params = PatchParams::default();
    scene.teams().patch("red", &params, &touched).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let reads = scene.operator.api.take_reads();
    assert!(
        reads.iter().any(|path| path.contains("kidp-default-deny")),
        "it looked: {reads:?}"
    );
    let writes: Vec<_> = scene
        .operator
        .api
        .writes()
        .iter()
        .map(kidp_e2e::proxy::Write::short)
        .collect();
    assert_eq!(writes, Vec::<String>::new(), "and wrote nothing");
    println!("at rest      {} reads, no write", reads.len());
}

/// An object without what the server writes.
fn essence<T: serde::Serialize>(object: &T) -> Value {
    let mut value = serde_json::to_value(object).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.remove("status");
    let labels = fields.remove("metadata").map(|m| m["labels"].clone());
    json!([value, labels])
}

/// What an administrator, or a slip, changes is put back at once.
async fn put_back(scene: &Scene) {
    let red = space("red");
    let c = &scene.client;
    macro_rules! change {
        ($kind:ty, $name:expr, $patch:expr) => {{
            let api: Api<$kind> = Api::namespaced(c.clone(), &red);
            let before = api.get($name).await.unwrap();
            let changed = match $patch {
                None => {
                    api.delete($name, &DeleteParams::default()).await.unwrap();
                    None
                }
                Some(patch) => {
                    let patch: Value = patch;
                    let params = PatchParams::default();
                    Some(api.patch($name, &params, &Patch::Merge(patch)).await.unwrap())
                }
            };
            let what = format!("{} {} to be put back", stringify!($kind), $name);
            let done = until(&what, LIMIT, async || {
                let live = api.get_opt($name).await.map_err(|e| failed(&e))?;
                let same = live.as_ref().is_some_and(|live| {
                    let last = changed.as_ref().unwrap_or(&before).resource_version();
                    live.resource_version() != last && essence(live) == essence(&before)
                });
                Ok(if same {
                    Seen::Done(())
                } else {
                    Seen::NotYet(format!("{live:?}"))
                })
            });
            scene.must(done.await);
            println!("put back     {what}");
        }};
    }
    change!(
        k8s_openapi::api::core::v1::ResourceQuota,
        "kidp-team",
        Some(json!({"spec": {"hard": {"pods": "9999"}}}))
    );
    change!(k8s_openapi::api::core::v1::LimitRange, "kidp-team", None::<Value>);
    change!(
        k8s_openapi::api::networking::v1::NetworkPolicy,
        "kidp-default-deny",
        None::<Value>
    );
    change!(
        k8s_openapi::api::networking::v1::NetworkPolicy,
        "kidp-default-deny",
        Some(json!({"spec": {"policyTypes": ["Ingress"]}}))
    );
    change!(
        k8s_openapi::api::rbac::v1::RoleBinding,
        "kidp-team-owners",
        Some(
            json!({"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]})
        )
    );
}

/// The same for what cannot be changed but only be made anew, and for the namespace itself.
async fn put_back_anew(scene: &Scene) {
    let red = space("red");
    let c = &scene.client;
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(c.clone(), &red);
    let mut other = bindings.get("kidp-team-members").await.unwrap();
    bindings
        .delete("kidp-team-members", &DeleteParams::default())
        .await
        .unwrap();
    other.role_ref.name = "cluster-admin".into();
    other.metadata.resource_version = None;
    other.metadata.uid = None;
    let _ = bindings.create(&PostParams::default(), &other).await;
    let done = until("the members' binding to be to its role", LIMIT, async || {
        let live = bindings
            .get_opt("kidp-team-members")
            .await
            .map_err(|e| failed(&e))?;
        let right = live
            .as_ref()
            .is_some_and(|b| b.role_ref.name == "kidp-team-member");
        Ok(if right {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{live:?}"))
        })
    });
    scene.must(done.await);
    println!("put back     RoleBinding kidp-team-members to another role");

    let namespaces: Api<Namespace> = Api::all(c.clone());
    let key = "pod-security.kubernetes.io/enforce";
    let patch = Patch::Merge(json!({"metadata": {"labels": {key: "privileged"}}}));
    namespaces
        .patch(&red, &PatchParams::default(), &patch)
        .await
        .unwrap();
    let done = until("the namespace's level to be put back", LIMIT, async || {
        let live = namespaces.get(&red).await.map_err(|e| failed(&e))?;
        let level = live.labels().get(key).cloned().unwrap_or_default();
        Ok(if level == "restricted" {
            Seen::Done(())
        } else {
            Seen::NotYet(level)
        })
    });
    scene.must(done.await);
    println!("put back     Namespace {red} {key}");
}

/// Who leaves a team loses what it gave.
async fn leaving(scene: &Scene) {
    let patch = Patch::Merge(json!({"spec": {"members": []}}));
    scene
        .teams()
        .patch("red", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let look = Attempt::to_list("red-member", &space("red"));
    let done = until("a former member to be refused", LIMIT, async || {
        let answer = look.made(&scene.client).await;
        Ok(if answer == 403 {
            Seen::Done(())
        } else {
            Seen::NotYet(answer.to_string())
        })
    });
    scene.must(done.await);
}

async fn removal(scene: &Scene) {
    let red = space("red");
    let things: Api<ConfigMap> = Api::namespaced(scene.client.clone(), &red);
    let thing: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "precious"}})).unwrap();
    things.create(&PostParams::default(), &thing).await.unwrap();
    scene
        .teams()
        .delete("red", &DeleteParams::default())
        .await
        .unwrap();
    let said = scene.says("red", "ResourcesRemain").await;
    assert!(said.contains(&format!("Database {red}/orders")), "{said}");
    // Its people are still there to remove it.
    let databases: Api<Database> = Api::namespaced(client_of("red-owner").await.unwrap(), &red);
    databases
        .delete("orders", &DeleteParams::default())
        .await
        .unwrap();
    let said = scene.says("red", "NamespaceNotEmpty").await;
    assert!(
        said.contains(&red) && said.contains("ConfigMap/precious"),
        "{said}"
    );
    let after = Attempt::to_list("red-owner", &red);
    assert_eq!(
        after.made(&scene.client).await,
        403,
        "rights go before the namespace"
    );
    things.delete("precious", &DeleteParams::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let gone = until("team and namespace to be gone", LIMIT, async || {
        let team = scene.teams().get_opt("red").await.map_err(|e| failed(&e))?;
        let namespace = namespaces.get_opt(&red).await.map_err(|e| failed(&e))?;
        Ok(match (&team, &namespace) {
            (None, None) => Seen::Done(()),
            _ => Seen::NotYet(format!("{:?}", team.map(|t| t.status))),
        })
    });
    scene.must(gone.await);
}

/// A namespace that was there before is left as it is.
async fn taken(scene: &Scene) {
    let name = space("taken");
    create_namespace(&scene.client, &name).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let before = namespaces.get(&name).await.unwrap();
    let team = team("green", &json!([{"name": name}]));
    scene.teams().create(&PostParams::default(), &team).await.unwrap();
    let said = scene.says("green", "NamespaceTaken").await;
    assert!(said.contains("spec.namespaces") && said.contains(&name), "{said}");
    let after = namespaces.get(&name).await.unwrap();
    assert_eq!(after.resource_version(), before.resource_version(), "not touched");
    scene
        .teams()
        .delete("green", &DeleteParams::default())
        .await
        .unwrap();
    let gone = until("team green to be gone", LIMIT, async || {
        let team = scene.teams().get_opt("green").await.map_err(|e| failed(&e))?;
        Ok(team.map_or(Seen::Done(()), |t| Seen::NotYet(format!("{:?}", t.status))))
    });
    scene.must(gone.await);
    assert!(
        namespaces.get_opt(&name).await.unwrap().is_some(),
        "not removed either"
    );
}

/// What the schema refuses, with the field.
async fn bad_input(scene: &Scene) {
    let base = serde_json::to_value(team("bad", &json!([{"name": space("bad")}]))).unwrap();
    let rows = [
        (json!({"members": ["ada", "ada"]}), "spec.members"),
        (json!({"owners": []}), "spec.owners"),
        (
            json!({"quotas": {"maxDatabases": -1}}),
            "spec.quotas.maxDatabases",
        ),
        (
            json!({"quotas": {"maxDatabases": 4_000_000}}),
            "spec.quotas.maxDatabases",
        ),
        (
            json!({"namespaces": [{"name": "kube-system"}]}),
            "spec.namespaces[0].name",
        ),
        (
            json!({"namespaces": [{"name": "a"}, {"name": "a"}]}),
            "spec.namespaces",
        ),
        (
            json!({"namespaces": [{"name": "Not_A_Name"}]}),
            "spec.namespaces[0].name",
        ),
        (
            json!({"namespaces": [{"name": "a", "quota": {"pods": "-1"}}]}),
            "spec.namespaces[0].quota",
        ),
        (
            json!({"namespaces": [{"name": "a", "quota": {"pods": "many"}}]}),
            "spec.namespaces[0].quota",
        ),
        (
            json!({"namespaces": [{"name": "a", "podSecurity": "privileged"}]}),
            "spec.namespaces[0].podSecurity",
        ),
    ];
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api: Api<kube::core::DynamicObject> = Api::namespaced_with(
        scene.client.clone(),
        HOME,
        &kube::api::ApiResource::erase::<Team>(&()),
    );
    for (patch, field) in rows {
        let mut value = base.clone();
        for (key, wanted) in patch.as_object().unwrap() {
            value["spec"][key] = wanted.clone();
        }
        let object = serde_json::from_value(value).unwrap();
        match api.create(&dry, &object).await {
            Err(kube::Error::Api(status)) => {
                assert!(status.message.contains(field), "{patch}: {}", status.message);
            }
            other => panic!("{patch}: {other:?}"),
        }
    }
    let moved = json!({"spec": {"tenantRef": {"name": "other"}}});
    let first = json!({"spec": {"tenantRef": {"name": "acme"}}});
    let params = PatchParams::default();
    scene
        .teams()
        .patch("blue", &params, &Patch::Merge(first))
        .await
        .unwrap();
    let refused = scene
        .teams()
        .patch("blue", &params, &Patch::Merge(moved))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("spec.tenantRef"), "{refused}");
}

#[tokio::test]
async fn teams_are_kept_apart_put_back_and_removed_in_order() {
    let scene = Scene::start().await;
    tokio::join!(scene.make("red"), scene.make("blue"));
    let wrong = table(&scene.client, "red", "blue").await;
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.join("\n"),
        scene.operator.log_tail()
    );
    references(&scene).await;
    at_rest(&scene).await;
    put_back(&scene).await;
    put_back_anew(&scene).await;
    leaving(&scene).await;
    taken(&scene).await;
    bad_input(&scene).await;
    removal(&scene).await;
    let Scene { client, operator, .. } = scene;
    operator.kill().await.unwrap();
    clean(&client).await;
    revoke(&client, &rights().unwrap()).await.unwrap();
}

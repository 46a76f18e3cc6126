//! What keeps a StatefulSet from being taken over, what becomes of one that is, and in which order it is written, against
//! an API server in memory. What a real one makes of it is tested in `adoption_cluster.rs`.

#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kidp_core::instance::{Adopted, DeletionPolicy, PodTemplatePolicy};
use kidp_core::size::Size;
use kidp_provisioners::adoption::{self, AdoptionRefusal, Found, Judged, judge};
use kidp_provisioners::engines::mysql::Mysql;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{
    ApplyError, Consequence, Deprovisioned, Instance, Manifests, Object, Options, Prepared, Provisioner,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::api_server::ApiServer;
use support::legacy::{self, CLAIM, NAME, PASSWORD};
use support::{instance, of_kind};

const SHOP: &str = "/namespaces/shop";

fn orders(pod_template: &str) -> Instance {
    let mut extra = legacy::adopt(pod_template);
    extra["storage"] = json!({"size": "512Mi"});
    instance("orders", "15", Size::Small, &extra)
}

/// What is found, after `change` of its StatefulSet, its claim and its Secret as JSON.
fn found(change: impl FnOnce(&mut Value, &mut Value, &mut Value)) -> Found {
    let (set, claim) = legacy::settled();
    let mut set = serde_json::to_value(set).unwrap();
    let mut claim = serde_json::to_value(claim).unwrap();
    let mut secret = serde_json::to_value(legacy::secret()).unwrap();
    change(&mut set, &mut claim, &mut secret);
    Found {
        set: serde_json::from_value::<Option<StatefulSet>>(set).unwrap(),
        secret: serde_json::from_value::<Option<Secret>>(secret).unwrap(),
        claim: serde_json::from_value::<Option<PersistentVolumeClaim>>(claim).unwrap(),
    }
}

fn judged(pod_template: &str, found: &Found) -> Judged {
    judge(&Postgresql::default(), &orders(pod_template), found)
}

fn adopted(pod_template: &str) -> Instance {
    let judged = judged(pod_template, &found(|_, _, _| {}));
    assert_eq!(judged.blockers, []);
    Instance {
        adopted: judged.adopted,
        ..orders(pod_template)
    }
}

fn build(instance: &Instance) -> Manifests<Prepared> {
    let postgresql = Postgresql::default();
    let credentials = postgresql.credentials(instance, PASSWORD.to_owned());
    postgresql.build(instance, &credentials).unwrap()
}

fn reasons(judged: &Judged) -> Vec<String> {
    let reason = |blocker| {
        serde_json::to_value(blocker).unwrap()["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    judged.blockers.iter().map(reason).collect()
}

/// One change and what it is refused for: of which object, where, to what, by which reasons where the pod template is
/// kept, and where it is replaced.
type Case = (&'static str, String, Value, &'static str, &'static str);

const BOTH: [&str; 2] = ["Keep", "Replace"];

fn both(of: &'static str, path: &str, to: Value, reasons: &'static str) -> Case {
    (of, path.to_owned(), to, reasons, reasons)
}

/// A change of the server's container.
fn server_case(path: &str, to: Value, keep: &'static str, replace: &'static str) -> Case {
    let path = format!("/spec/template/spec/containers/0/{path}");
    ("set", path, to, keep, replace)
}

fn cases_of_the_set() -> Vec<Case> {
    let owner = json!([{"apiVersion": "v1", "kind": "Legacy", "name": "x", "uid": "u", "controller": true}]);
    let label = |key: &str| format!("/metadata/labels/{}", key.replace('/', "~1"));
    let managed = label("app.kubernetes.io/managed-by");
    let expressions = json!([{"key": "a", "operator": "Exists"}]);
    let second = json!({"name": "b", "image": "postgres:15"});
    let pod = "/spec/template/spec";
    let user = format!("{pod}/securityContext/runAsUser");
    vec![
        both("set", "/metadata/ownerReferences", owner, "Controlled"),
        both(
            "set",
            "/metadata/deletionTimestamp",
            json!("2026-01-01T00:00:00Z"),
            "Deleting",
        ),
        both("set", &managed, json!("kidp"), "OtherInstance"),
        both(
            "set",
            &label("platform.company.com/team"),
            json!("sales"),
            "OtherTeam",
        ),
        both("set", "/spec/replicas", json!(3), "Members Unsettled"),
        both("set", "/status/readyReplicas", json!(0), "Unsettled"),
        both("set", "/status/updateRevision", json!("legacy-db-2"), "Unsettled"),
        both("set", "/spec/selector/matchExpressions", expressions, "Selector"),
        both("set", &format!("{pod}/containers/1"), second, "Server"),
        ("set", user, json!(1001), "", "User"),
        both(
            "claim",
            "/spec/resources/requests/storage",
            json!("1Gi"),
            "ClaimSize",
        ),
        both("claim", "", Value::Null, "Missing"),
        both("claim", &managed, json!("kidp"), "OtherInstance"),
        both("secret", "", Value::Null, "Missing"),
        both("secret", "/data/postgres-password", json!(""), "SecretKey"),
        both("secret", "/data/postgres-password", json!("YUBi"), "Characters"),
        both("secret", "/data/user", json!("YTti"), "Characters"),
    ]
}

fn cases_of_the_server() -> Vec<Case> {
    let image = |image: &str, keep, replace| server_case("image", json!(image), keep, replace);
    let variable =
        |name: &str, value: &str, keep| server_case("env/1", json!({"name": name, "value": value}), keep, "");
    vec![
        image("docker.io/library/mysql:8.4", "Server", "Server"),
        image("postgres:latest", "UnknownVersion", "UnknownVersion"),
        image("postgres:16.2", "Version", "Version"),
        image("postgres:15-alpine", "", "ForeignImage"),
        image("docker.io/bitnami/postgresql:15.4.0", "", "ForeignImage"),
        server_case("env/3/value", json!("/elsewhere"), "DataFolder", "DataFolder"),
        server_case("volumeMounts/0/name", json!("other"), "DataFolder", "DataFolder"),
        server_case("ports/0/containerPort", json!(5433), "", "Port"),
        server_case("args", json!(["x".repeat(70_000)]), "TooLarge", ""),
        variable("POSTGRES_PASSWORD", PASSWORD, "SecretInTemplate"),
        variable("POSTGRES_PASSWORD_FILE", "/run/secret", ""),
    ]
}

/// Sets what is at a path, in objects and one past the end of lists.
fn set_at(value: &mut Value, path: &str, to: Value) {
    let Some((parent, name)) = path.rsplit_once('/') else {
        *value = to;
        return;
    };
    let name = name.replace("~1", "/");
    match value.pointer_mut(parent).unwrap() {
        Value::Array(list) => match list.get_mut(name.parse::<usize>().unwrap()) {
            Some(item) => *item = to,
            None => list.push(to),
        },
        parent => parent[name] = to,
    }
}

#[test]
fn whatever_is_in_the_way_is_told_by_its_name() {
    for (of, path, to, keep, replace) in [cases_of_the_set(), cases_of_the_server()].concat() {
        let found = found(|set, claim, secret| {
            let object = match of {
                "set" => set,
                "claim" => claim,
                _ => secret,
            };
            set_at(object, &path, to.clone());
        });
        for (pod_template, expected) in BOTH.into_iter().zip([keep, replace]) {
            let judged = judged(pod_template, &found);
            assert_eq!(reasons(&judged).join(" "), expected, "{pod_template} {path}");
            assert_eq!(
                judged.adopted.is_some(),
                expected.is_empty(),
                "{pod_template} {path}"
            );
            assert!(
                !format!("{judged:?}").contains(PASSWORD) || expected.is_empty(),
                "{judged:?}"
            );
        }
    }
}

#[test]
fn another_class_is_refused_and_the_same_is_not() {
    let with_class = |class: &str| {
        let mut orders = orders("Keep");
        orders.spec.storage.class = Some(class.to_owned());
        reasons(&judge(&Postgresql::default(), &orders, &found(|_, _, _| {})))
    };
    assert_eq!(with_class("fast"), [""; 0]);
    assert_eq!(with_class("slow"), ["ClaimClass"]);
}

#[test]
fn what_is_not_there_yet_is_said_of_each_object() {
    let judged = judged("Keep", &Found::default());
    assert_eq!(reasons(&judged), ["Missing", "Missing"]);
}

#[test]
fn an_engine_that_takes_over_nothing_says_so_by_its_field() {
    let mut extra = legacy::adopt("Keep");
    extra["encryption"] = json!({"inTransit": true});
    let faults = |provisioner: &dyn Provisioner, version: &str| {
        let mut instance = support::instance_of(provisioner, "orders", version, Size::Small, &extra);
        instance.features.cert_manager = true;
        let faults = provisioner.validate(&instance).unwrap_err();
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    assert!(faults(&Mysql::default(), "8.4").contains(&"spec.adopt".to_owned()));
    assert_eq!(
        faults(&Postgresql::default(), "15"),
        ["spec.encryption.inTransit"]
    );
    let mut tuned = orders("Keep");
    let parameter = ("work_mem".to_owned(), "8MB".to_owned());
    tuned.spec.parameters = [parameter].into();
    let faults = Postgresql::default().validate(&tuned).unwrap_err();
    assert_eq!(faults[0].field, "spec.parameters");
    tuned.spec.adopt.as_mut().unwrap().pod_template = PodTemplatePolicy::Replace;
    assert_eq!(Postgresql::default().validate(&tuned), Ok(()));
}

#[test]
fn a_kept_pod_template_is_rendered_as_it_was_found() {
    let manifests = build(&adopted("Keep"));
    let kinds: Vec<_> = manifests.objects().iter().map(Object::key).collect();
    // No NetworkPolicy: clients that it does not know go on.
    assert_eq!(
        kinds,
        [
            "Secret/orders-postgresql-connection",
            "Service/orders-postgresql",
            "StatefulSet/legacy-db"
        ]
    );
    let set = of_kind(&manifests, "StatefulSet").remove(0);
    let (old, _) = legacy::settled();
    let mut old = serde_json::to_value(old.spec).unwrap();
    assert_eq!(
        set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"],
        "Retain"
    );
    old["persistentVolumeClaimRetentionPolicy"] = set["spec"]["persistentVolumeClaimRetentionPolicy"].clone();
    assert_eq!(set["spec"], old);
    let secret = support::connection_secret(&manifests);
    assert_eq!(
        secret["entries"]["uri"],
        format!("postgresql://shopkeeper:{PASSWORD}@orders-postgresql.shop.svc:5432/shop")
    );
    let service = of_kind(&manifests, "Service").remove(0);
    assert_eq!(service["spec"]["selector"], old["selector"]["matchLabels"]);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 5432);
}

#[test]
fn a_replaced_pod_template_is_a_new_instances_around_the_same_data() {
    let adopted = adopted("Replace");
    let manifests = build(&adopted);
    insta::assert_snapshot!("adopted-replaced", manifests.to_yaml_redacted().unwrap());
    let record = serde_json::to_string(&adopted.adopted).unwrap();
    assert!(
        !record.contains(PASSWORD) && !record.contains("containers\":[{"),
        "{record}"
    );
}

proptest! {
    /// Whatever a pod template says, keeping it changes nothing of it.
    #[test]
    fn any_pod_template_is_kept(
        grace in 0_i64..1000,
        labels in proptest::collection::btree_map("[a-z]{1,8}", "[a-z]{0,8}", 0..4),
        env in proptest::collection::btree_map("[A-Z]{1,8}", "[a-z /=]{0,12}", 0..4),
        cpu in proptest::option::of("[1-9]00m"),
        policy in prop_oneof![Just("Parallel"), Just("OrderedReady")],
        sub_path in proptest::option::of("[a-z]{1,5}(/[a-z]{1,5})?"),
    ) {
        let found = found(|set, _, _| {
            let template = &mut set["spec"]["template"];
            template["metadata"]["annotations"] = json!(labels);
            template["spec"]["terminationGracePeriodSeconds"] = json!(grace);
            let server = &mut template["spec"]["containers"][0];
            if let Some(sub_path) = &sub_path {
                server["volumeMounts"][0]["subPath"] = json!(sub_path);
            }
            if let Some(cpu) = &cpu {
                server["resources"] = json!({"limits": {"cpu": cpu}});
            }
            for (name, value) in env.iter().filter(|(name, _)| !name.contains("PASS") && name.as_str() != "PGDATA") {
                server["env"].as_array_mut().unwrap().push(json!({"name": name, "value": value}));
            }
            set["spec"]["podManagementPolicy"] = json!(policy);
        });
        let before = serde_json::to_value(found.set.as_ref().unwrap()).unwrap();
        let judged = judged("Keep", &found);
        prop_assume!(judged.blockers.is_empty());
        // By way of the record, as the broker keeps it.
        let record = serde_json::to_string(&judged.adopted).unwrap();
        let instance = Instance {
            adopted: serde_json::from_str::<Option<Adopted>>(&record).unwrap(),
            ..orders("Keep")
        };
        let set = of_kind(&build(&instance), "StatefulSet").remove(0);
        prop_assert_eq!(&set["spec"]["template"], &before["spec"]["template"]);
        prop_assert_eq!(&set["spec"]["selector"], &before["spec"]["selector"]);
        prop_assert_eq!(&set["spec"]["podManagementPolicy"], &before["spec"]["podManagementPolicy"]);
        prop_assert!(kidp_drift::diff(&set["spec"]["template"], &before["spec"]["template"]).is_empty());
    }
}

fn server() -> ApiServer {
    let server = ApiServer::default();
    let (set, claim) = legacy::settled();
    server.with(|state| {
        let mut add = |path: String, object: Value| state.objects.insert(path, object);
        add(
            format!("/apis/apps/v1{SHOP}/statefulsets/{NAME}"),
            serde_json::to_value(set).unwrap(),
        );
        add(
            format!("/api/v1{SHOP}/persistentvolumeclaims/{CLAIM}"),
            serde_json::to_value(claim).unwrap(),
        );
        let secret = serde_json::to_value(legacy::secret()).unwrap();
        add(format!("/api/v1{SHOP}/secrets/{NAME}"), secret);
    });
    server
}

async fn examine(server: &ApiServer, instance: &Instance) -> adoption::Adoption {
    let before = server.with(|state| state.objects.clone());
    let examined = adoption::examine(&Postgresql::default(), &server.client(), instance)
        .await
        .unwrap();
    assert_eq!(server.take_writes(), [""; 0]);
    assert_eq!(server.with(|state| state.objects.clone()), before);
    examined
}

async fn provision(server: &ApiServer, instance: &Instance) -> Result<(), ApplyError> {
    let options = Options::default();
    let done = Postgresql::default()
        .provision(&server.client(), instance, &options)
        .await;
    done.map(|_| ())
}

#[tokio::test]
async fn what_restarts_is_accepted_by_the_digest_of_what_was_seen() {
    let server = server();
    let kept = examine(&server, &orders("Keep")).await;
    assert_eq!(
        (kept.digest.as_ref(), kept.plan.consequence),
        (None, Consequence::None),
        "{}",
        kept.plan
    );
    assert!(kept.decide(None).is_ok());

    let replaced = examine(&server, &orders("Replace")).await;
    assert_eq!(
        replaced.plan.consequence,
        Consequence::RollingRestart,
        "{}",
        replaced.plan
    );
    let digest = replaced.digest.clone().unwrap();
    let Err(AdoptionRefusal::NotAccepted { digest: told, .. }) = replaced.decide(None) else {
        panic!("accepted")
    };
    assert_eq!(told, digest);
    assert!(replaced.decide(Some(&digest)).is_ok());
    // Before there is a resource, and with its UID, the plan is the same one.
    let mut unnamed = orders("Replace");
    unnamed.resource_uid = String::new();
    assert_eq!(examine(&server, &unnamed).await.digest, Some(digest.clone()));

    server.with(|state| {
        let set = state
            .objects
            .get_mut(&format!("/apis/apps/v1{SHOP}/statefulsets/{NAME}"))
            .unwrap();
        set["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["-c", "fsync=off"]);
    });
    let changed = examine(&server, &orders("Replace")).await;
    assert!(matches!(
        changed.decide(Some(&digest)),
        Err(AdoptionRefusal::NotAccepted { .. })
    ));
}

#[tokio::test]
async fn a_larger_consequence_than_a_restart_is_never_accepted() {
    let server = server();
    let mut examined = examine(&server, &orders("Replace")).await;
    examined.plan.consequence = Consequence::Recreate;
    let digest = examined.digest.clone();
    assert!(matches!(
        examined.decide(digest.as_deref()),
        Err(AdoptionRefusal::TooGrave {
            consequence: Consequence::Recreate,
            ..
        })
    ));
}

#[tokio::test]
async fn the_claim_comes_first_and_the_stateful_set_last() {
    let kept = server();
    provision(&kept, &adopted("Keep")).await.unwrap();
    let writes = kept.take_writes();
    assert_eq!(
        writes.first().unwrap(),
        &format!("PATCH persistentvolumeclaims/{CLAIM}")
    );
    assert_eq!(writes.last().unwrap(), &format!("PATCH statefulsets/{NAME}"));
    assert!(
        !writes
            .iter()
            .any(|write| write.starts_with("DELETE") || write.ends_with(&format!("secrets/{NAME}")))
    );
    provision(&kept, &adopted("Keep")).await.unwrap();
    assert_eq!(kept.take_writes(), [""; 0]);

    let replaced = server();
    provision(&replaced, &adopted("Replace")).await.unwrap();
    let writes = replaced.take_writes();
    let last: Vec<_> = writes.iter().rev().take(3).map(String::as_str).collect();
    assert_eq!(
        last,
        [
            "PATCH statefulsets/legacy-db",
            "DELETE statefulsets/legacy-db",
            "PATCH statefulsets/legacy-db"
        ]
    );
    provision(&replaced, &adopted("Replace")).await.unwrap();
    assert_eq!(replaced.take_writes(), [""; 0]);
}

#[tokio::test]
async fn a_call_that_died_anywhere_is_completed_by_the_next() {
    for pod_template in BOTH {
        let instance = adopted(pod_template);
        let whole = server();
        provision(&whole, &instance).await.unwrap();
        let writes = whole.take_writes().len();
        let set = |server: &ApiServer| {
            server.with(|state| {
                state.objects[&format!("/apis/apps/v1{SHOP}/statefulsets/{NAME}")]["spec"].clone()
            })
        };
        for at in 0..writes {
            let server = server();
            server.with(|state| state.fail_write = Some((at, 500)));
            provision(&server, &instance).await.unwrap_err();
            server.with(|state| state.fail_write = None);
            provision(&server, &instance).await.unwrap();
            assert_eq!(set(&server), set(&whole), "{pod_template} {at}");
            server.take_writes();
            provision(&server, &instance).await.unwrap();
            assert_eq!(server.take_writes(), [""; 0], "{pod_template} {at}");
        }
    }
}

#[tokio::test]
async fn what_changed_since_it_was_looked_at_is_not_taken_over() {
    for pod_template in BOTH {
        let server = server();
        server.with(|state| {
            let set = state
                .objects
                .get_mut(&format!("/apis/apps/v1{SHOP}/statefulsets/{NAME}"))
                .unwrap();
            set["metadata"]["generation"] = json!(4);
        });
        let outcome = provision(&server, &adopted(pod_template)).await;
        assert!(
            matches!(outcome, Err(ApplyError::AdoptionStale { .. })),
            "{outcome:?}"
        );
        assert_eq!(server.take_writes(), [""; 0]);
    }
}

#[tokio::test]
async fn what_another_instance_took_over_meanwhile_stays_its_own() {
    let server = server();
    provision(&server, &adopted("Keep")).await.unwrap();
    server.take_writes();
    let mut other = adopted("Keep");
    other.name = "bills".to_owned();
    let outcome = provision(&server, &other).await;
    assert!(
        matches!(outcome, Err(ApplyError::NameCollision { .. })),
        "{outcome:?}"
    );
    assert_eq!(server.take_writes(), [""; 0]);
}

#[tokio::test]
async fn a_stateful_set_that_was_not_taken_over_yet_goes_on_with_its_data() {
    let server = server();
    // Only the claim is labelled when the call dies.
    server.with(|state| state.fail_write = Some((1, 500)));
    provision(&server, &adopted("Keep")).await.unwrap_err();
    server.with(|state| state.fail_write = None);
    let (postgresql, instance) = (Postgresql::default(), adopted("Keep"));
    let client = server.client();
    let done = postgresql
        .deprovision(&client, &instance, DeletionPolicy::Delete)
        .await
        .unwrap();
    assert_eq!(done, Deprovisioned::Done);
    server.with(|state| {
        let left: Vec<_> = state
            .objects
            .keys()
            .map(|path| path.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(left, [CLAIM, NAME, NAME]);
    });
    // And it can be taken over again.
    server.take_writes();
    assert!(examine(&server, &orders("Keep")).await.decide(None).is_ok());
}

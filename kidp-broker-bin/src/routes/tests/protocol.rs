//! Requests that repeat, race each other, or come late, against an API server that keeps what it is given.

use super::*;
use crate::testing::ObjectStore;
use crate::tombstones::Tombstones;

fn broker_of(store: &ObjectStore) -> Router {
    let mut broker = broker(store.client());
    broker.records = broker
        .records
        .with_tombstones(Tombstones::new(store.client(), "kidp"));
    // One that yields between its steps; the clock must not decide.
    broker.request_timeout = std::time::Duration::from_secs(30);
    app(Arc::new(broker))
}

async fn provision(app: &Router, change: Value) -> (u16, Value) {
    let mut request = request_json();
    for (key, value) in change.as_object().unwrap() {
        request[key] = value.clone();
    }
    let answer = app.clone().oneshot(post_json("/v1/provision", &request)).await;
    read(answer.unwrap()).await
}

async fn deprovision(app: &Router, permanent: bool) -> u16 {
    let body =
        json!({"deploymentId": record().spec.deployment_id, "namespace": "shop", "permanent": permanent});
    let answer = app.clone().oneshot(post_json("/v1/deprovision", &body)).await;
    read(answer.unwrap()).await.0
}

fn sized(size: &str) -> Value {
    json!({"spec": {"engine": "postgresql", "version": "15", "size": size, "storage": {"size": "1Gi"}}})
}

#[tokio::test]
async fn the_same_request_many_times_at_once_is_one_record_and_one_id() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    let answers = futures::future::join_all((0..8).map(|_| provision(&app, json!({})))).await;
    for (status, body) in answers {
        assert_eq!(
            (status, body["deploymentId"].as_str()),
            (202, Some(record().spec.deployment_id.as_str()))
        );
    }
    assert_eq!(store.holding("/serviceinstances/").len(), 1);
}

#[tokio::test]
async fn of_two_different_requests_that_race_one_wins_and_the_other_is_told_the_field() {
    for _ in 0..20 {
        let store = ObjectStore::default();
        let app = broker_of(&store);
        let (a, b) = futures::join!(provision(&app, sized("small")), provision(&app, sized("large")));
        let mut codes = [a.0, b.0];
        codes.sort_unstable();
        assert_eq!(codes, [202, 409], "{a:?} {b:?}");
        let loser = if a.0 == 409 { a.1 } else { b.1 };
        assert_eq!(loser["details"][0]["field"], "spec.size");
    }
}

#[tokio::test]
async fn updates_that_race_end_in_the_newest_generation() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    assert_eq!(provision(&app, json!({})).await.0, 202);
    let updates = (3..9).map(|generation| {
        let mut change = sized(if generation == 8 { "large" } else { "medium" });
        change["resourceGeneration"] = generation.into();
        let app = app.clone();
        async move { provision(&app, change).await }
    });
    let answers = futures::future::join_all(updates).await;
    for (status, body) in &answers {
        let contended = *status == 422 && body["error"] == "ConcurrencyError";
        assert!(*status == 202 || contended, "{status} {body}");
    }
    let mut last = sized("large");
    last["resourceGeneration"] = 8.into();
    assert_eq!(
        provision(&app, last).await.0,
        202,
        "the refused one is asked again"
    );
    let spec = store.holding("/serviceinstances/")[0]["spec"].clone();
    assert_eq!(
        (
            spec["resourceGeneration"].as_i64(),
            spec["instance"]["size"].as_str()
        ),
        (Some(8), Some("large"))
    );
}

#[tokio::test]
async fn a_request_that_comes_after_its_resource_is_gone_is_refused() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    assert_eq!(
        deprovision(&app, true).await,
        404,
        "it never came, and never will"
    );
    let (status, body) = provision(&app, json!({})).await;
    assert_eq!((status, body["error"].as_str()), (410, Some("Gone")));
    assert_eq!(body["details"][0]["field"], "resourceUid");
    assert_eq!(
        provision(&app, json!({"resourceUid": "uid-2"})).await.0,
        202,
        "another resource of the name"
    );
}

#[tokio::test]
async fn a_removal_that_is_not_for_good_can_be_followed_by_the_same_request() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    assert_eq!(deprovision(&app, false).await, 404);
    assert_eq!(provision(&app, json!({})).await.0, 202);
    assert_eq!(deprovision(&app, false).await, 202);
    let (status, body) = provision(&app, json!({})).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (422, Some("ConcurrencyError")),
        "while it is under way"
    );
    store.drop_all("/serviceinstances/");
    assert_eq!(provision(&app, json!({})).await.0, 202);
}

#[tokio::test]
async fn during_a_removal_for_good_nothing_is_taken() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    assert_eq!(provision(&app, json!({})).await.0, 202);
    assert_eq!(
        [deprovision(&app, true).await, deprovision(&app, true).await],
        [202, 202]
    );
    assert_eq!(provision(&app, json!({})).await.0, 410);
    store.drop_all("/serviceinstances/");
    assert_eq!(deprovision(&app, true).await, 404, "confirmed");
    assert_eq!(provision(&app, json!({})).await.0, 410);
    let stones = &store.holding("/configmaps/")[0]["data"];
    assert_eq!(stones.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn records_are_listed_page_by_page_for_those_who_asked() {
    let store = ObjectStore::default();
    let app = broker_of(&store);
    for n in 0..205 {
        let who = if n % 41 == 0 { "you" } else { "me" };
        let name = format!("orders-{n}");
        let asked = provision(&app, json!({"resourceName": name, "requestedBy": who})).await;
        assert_eq!(asked.0, 202);
    }
    let page = async |query: Value| {
        let answer = app.clone().oneshot(post_json("/v1/resources", &query)).await;
        read(answer.unwrap()).await.1
    };
    let first = page(json!({"detail": "record"})).await;
    assert_eq!(
        (
            first["total"].as_u64(),
            first["resources"].as_array().unwrap().len()
        ),
        (Some(205), 200)
    );
    let after = first["resources"][199]["deploymentId"].clone();
    let second = page(json!({"detail": "record", "after": after})).await;
    assert_eq!(second["total"], 5);
    let mine = page(json!({"detail": "record", "requestedBy": "you"})).await;
    assert_eq!(
        (
            mine["total"].as_u64(),
            mine["resources"][0]["requestedBy"].as_str()
        ),
        (Some(5), Some("you"))
    );
}

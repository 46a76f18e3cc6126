//! A plan, by a real engine in front of an API server that a closure plays.

use kidp_provisioners::Registry;

use super::*;

/// A cluster in which nothing is but these records: dry runs are answered as if all was well.
fn cluster(records: &[ServiceInstance]) -> (kube::Client, Calls) {
    let (calls, records) = (Calls::default(), records.to_vec());
    let log = calls.clone();
    let client = client(move |method, path| {
        log.lock().unwrap().push(format!("{method} {path}"));
        let record = records
            .iter()
            .find(|r| path.ends_with(r.spec.deployment_id.as_str()));
        match (method, record) {
            ("GET", Some(record)) => (200, serde_json::to_value(record).unwrap()),
            ("GET", None) if path.contains("serviceinstances?") => list(&records),
            ("GET", None) if path.contains('?') => list(&[]),
            ("GET", None) => failure(404, "NotFound", ""),
            _ if path.contains("/statefulsets/") => (
                200,
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders-postgresql"},
                "spec": {"replicas": 1, "volumeClaimTemplates": [
                    {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
                ]}}),
            ),
            _ => (200, json!({"metadata": {"name": "any"}})),
        }
    });
    (client, calls)
}

async fn plan_of(client: kube::Client, request: &Value) -> (u16, Value) {
    let broker = Broker {
        registry: Registry::standard(),
        ..broker(client)
    };
    let response = app(Arc::new(broker))
        .oneshot(post_json("/v1/plan", request))
        .await;
    read(response.unwrap()).await
}

#[tokio::test]
async fn a_plan_tells_what_would_be_made_and_writes_nothing() {
    let (client, calls) = cluster(&[]);
    let (status, body) = plan_of(client, &request_json()).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["action"], "create");
    assert_eq!(body["consequence"], "none");
    assert_eq!(body["deploymentId"], record().spec.deployment_id.as_str());
    let created = body["created"].as_array().unwrap();
    assert!(
        created.contains(&json!("StatefulSet/orders-postgresql")),
        "{body}"
    );
    assert_eq!(body["resources"]["before"]["cpuCores"], 0.0);
    assert_eq!(body["resources"]["after"]["storageGib"], 1.0);
    for call in calls.lock().unwrap().iter() {
        assert!(call.starts_with("GET ") || call.contains("dryRun=All"), "{call}");
    }
}

#[tokio::test]
async fn the_example_of_the_root_can_be_planned() {
    let (_, root) = ask(get_path("/")).await;
    let endpoints = root["endpoints"].as_array().unwrap();
    let route = endpoints.iter().find(|e| e["path"] == "/v1/plan").unwrap();
    let mut example = route["example"].clone();
    example["callbackUrl"] = Value::Null;
    let (status, body) = plan_of(cluster(&[]).0, &example).await;
    assert_eq!((status, &body["action"]), (200, &json!("create")), "{body}");
}

#[tokio::test]
async fn a_plan_knows_the_record_that_the_request_would_meet() {
    let held = |change: &Value| {
        let mut request = request_json();
        for (key, value) in change.as_object().unwrap() {
            request[key] = value.clone();
        }
        async move { plan_of(cluster(&[record()]).0, &request).await }
    };
    let resized =
        json!({"engine": "postgresql", "version": "15", "size": "medium", "storage": {"size": "1Gi"}});
    let (_, body) = held(&json!({})).await;
    assert_eq!(body["action"], "unchanged", "{body}");
    let (_, body) = held(&json!({"resourceGeneration": 3, "spec": resized})).await;
    assert_eq!(body["action"], "update", "{body}");
    let (_, body) = held(&json!({"resourceGeneration": 1, "spec": resized})).await;
    assert_eq!(
        (&body["action"], &body["created"]),
        (&json!("stale"), &json!([])),
        "{body}"
    );
    let (status, body) = held(&json!({"spec": resized})).await;
    assert_eq!((status, body["error"].as_str()), (409, Some("Conflict")));
    let shrunk = json!({"engine": "postgresql", "version": "15", "storage": {"size": "1Mi"}});
    let (status, body) = held(&json!({"resourceGeneration": 3, "spec": shrunk})).await;
    assert_eq!(status, 422);
    assert_eq!(body["details"][0]["field"], "spec.storage.size", "{body}");
}

#[tokio::test]
async fn a_plan_is_refused_as_the_request_would_be() {
    let mut request = request_json();
    request["spec"]["engine"] = json!("sqlserver");
    let (status, body) = plan_of(cluster(&[]).0, &request).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (422, Some("spec.engine"))
    );
    request["colour"] = json!("red");
    let (status, body) = plan_of(cluster(&[]).0, &request).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (400, Some("colour"))
    );

    let gone = client(|method, path| match method {
        "GET" if path.contains('?') => list(&[]),
        "GET" => failure(404, "NotFound", ""),
        _ => failure(404, "NotFound", "namespaces"),
    });
    let (status, body) = plan_of(gone, &request_json()).await;
    assert_eq!(
        (status, body["details"][0]["field"].as_str()),
        (422, Some("namespace"))
    );
}

#[tokio::test]
async fn a_plan_tells_what_is_in_the_way_of_taking_over_a_stateful_set() {
    let (client, calls) = cluster(&[]);
    let mut request = request_json();
    request["spec"]["adopt"] = json!({"statefulSet": "legacy", "secretRef": {"name": "legacy"},
        "username": "shop", "database": "shop"});
    let (status, body) = plan_of(client, &request).await;
    assert_eq!(status, 200, "{body}");
    let blocker = |object: &str| json!({"object": object, "message": "is not there"});
    assert_eq!(
        body["adoption"],
        json!({"blockers": [blocker("Secret/legacy"), blocker("StatefulSet/legacy")]})
    );
    assert_eq!(body["created"], json!([]), "nothing is planned before that");
    assert!(calls.lock().unwrap().iter().all(|call| call.starts_with("GET ")));

    request["spec"]["adopt"]["username"] = json!("a b");
    let (status, body) = plan_of(cluster(&[]).0, &request).await;
    assert_eq!(
        (status, &body["details"][0]["field"]),
        (422, &json!("spec.adopt.username")),
        "{body}"
    );
}

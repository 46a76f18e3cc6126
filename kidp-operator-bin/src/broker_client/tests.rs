//! The client against a mock server: what each answer is taken for.

use super::*;
use kidp_telemetry::testing::{Recording, exemplars};
use tracing::Instrument as _;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn id() -> DeploymentId {
    DeploymentId::derive("eu", "shop", "Database", "orders", "uid")
}

fn client(server: &MockServer, key: Option<&str>) -> BrokerClient {
    let http = kidp_callback::http::client(Duration::from_millis(300)).unwrap();
    BrokerClient::new(
        http.into(),
        base_url(&server.uri()).unwrap(),
        key.map(Bearer::new),
        Pause::default(),
        Metrics::default(),
    )
}

async fn answering(template: ResponseTemplate) -> (MockServer, BrokerClient) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/v1/status"))
        .respond_with(template)
        .mount(&server)
        .await;
    let client = client(&server, None);
    (server, client)
}

#[tokio::test]
async fn only_the_brokers_own_404_means_unknown() {
    let problem = Problem::new(Reason::NotFound, "no such deployment");
    let (_server, client) = answering(ResponseTemplate::new(404).set_body_json(&problem)).await;
    assert!(client.status(&id()).await.unwrap().is_none());
    let (_server, client) = answering(ResponseTemplate::new(404).set_body_string("<html>")).await;
    assert!(matches!(
        client.status(&id()).await,
        Err(BrokerError::NotABroker(404))
    ));
}

#[tokio::test]
async fn refusals_keep_their_reason_and_say_whether_to_retry() {
    for (reason, retryable) in [(Reason::InvalidField, false), (Reason::Unavailable, true)] {
        let problem = Problem::new(reason, "because");
        let template = ResponseTemplate::new(reason.http_status()).set_body_json(&problem);
        let (_server, client) = answering(template).await;
        let error = client.status(&id()).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable);
        assert!(matches!(error, BrokerError::Refused(p) if p == problem));
    }
    let (_server, client) = answering(ResponseTemplate::new(503).set_body_string("proxy")).await;
    assert!(client.status(&id()).await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn slow_large_redirecting_and_wrong_answers_are_errors() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(2));
    let (_server, client) = answering(slow).await;
    assert!(matches!(client.status(&id()).await, Err(BrokerError::Timeout)));
    let large = ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_ANSWER_BYTES + 1]);
    let (_server, client) = answering(large).await;
    assert!(matches!(client.status(&id()).await, Err(BrokerError::TooLarge)));
    let redirect = ResponseTemplate::new(302).insert_header("location", "/v1/status");
    let (_server, client) = answering(redirect).await;
    assert!(matches!(
        client.status(&id()).await,
        Err(BrokerError::NotABroker(302))
    ));
    let (_server, client) = answering(ResponseTemplate::new(200).set_body_json(1)).await;
    assert!(matches!(
        client.status(&id()).await,
        Err(BrokerError::NotABroker(200))
    ));
}

#[tokio::test]
async fn the_key_is_sent_to_the_broker_only_and_never_shown() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    Mock::given(header("authorization", "Bearer k3y"))
        .and(path("/health"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&other)
        .await;
    let client = client(&server, Some("k3y"));
    let second = Duration::from_secs(1);
    client.health("/health", second).await.unwrap();
    client
        .health(&format!("{}/health", other.uri()), second)
        .await
        .unwrap();
    let seen = other.received_requests().await.unwrap();
    assert!(!seen[0].headers.contains_key("authorization"));
    assert!(!format!("{client:?}").contains("k3y"));
}

#[tokio::test]
async fn an_accepted_request_and_its_query_follow_the_contract() {
    let server = MockServer::start().await;
    let accepted = Accepted {
        status: "accepted".into(),
        deployment_id: id(),
        message: "on its way".into(),
    };
    Mock::given(method("POST"))
        .and(path("/v1/deprovision"))
        .respond_with(ResponseTemplate::new(202).set_body_json(&accepted))
        .mount(&server)
        .await;
    Mock::given(query_param("id", id().as_str()))
        .respond_with(ResponseTemplate::new(404).set_body_json(Problem::new(Reason::NotFound, "")))
        .expect(1)
        .mount(&server)
        .await;
    let client = client(&server, None);
    let request = DeprovisionRequest {
        permanent: false,
        deployment_id: id(),
        namespace: None,
        deletion_policy: None,
    };
    assert_eq!(client.deprovision(&request).await.unwrap(), Some(accepted));
    assert!(client.status(&id()).await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_names_no_address() {
    let http = kidp_callback::http::client(Duration::from_secs(1)).unwrap();
    let base = base_url("http://127.0.0.1:9").unwrap();
    let client = BrokerClient::new(http.into(), base, None, Pause::default(), Metrics::default());
    let error = client.status(&id()).await.unwrap_err();
    assert!(
        error.is_retryable() && !error.to_string().contains("127.0.0.1"),
        "{error}"
    );
    assert!(base_url("ftp://x").is_err());
}

#[tokio::test]
async fn a_broker_that_asks_to_wait_is_left_alone_until_then() {
    let server = MockServer::start().await;
    let problem = Problem::new(Reason::TooManyRequests, "wait 1 s");
    let template = ResponseTemplate::new(429).insert_header("retry-after", "1");
    Mock::given(method("GET"))
        .respond_with(template.set_body_json(&problem))
        .mount(&server)
        .await;
    let client = client(&server, None);
    let other = client.clone();
    assert_eq!(
        client.status(&id()).await.unwrap_err().busy(),
        Some(Duration::from_secs(1))
    );
    for client in [&client, &other] {
        let left = client.status(&id()).await.unwrap_err().busy().unwrap();
        assert!(left <= Duration::from_secs(1), "{left:?}");
    }
    let asked = async || server.received_requests().await.unwrap().len();
    assert_eq!(asked().await, 1, "the pause is kept without asking");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(other.status(&id()).await.unwrap_err().busy().is_some());
    assert_eq!(asked().await, 2);
}

#[test]
fn a_wait_has_bounds() {
    let wait = |text: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(text) = text {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        retry_after(&headers).as_secs()
    };
    let never = Some("99999999999");
    let date = Some("Wed, 21 Oct 2026 07:28:00 GMT");
    assert_eq!(
        [None, Some("0"), Some("7"), never, date].map(wait),
        [1, 1, 7, 120, 1]
    );
}

#[test]
fn not_being_let_in_is_no_fault_of_the_resource() {
    let refused = |reason| BrokerError::Refused(Problem::new(reason, ""));
    assert!(refused(Reason::Unauthorized).is_retryable());
    assert!(
        !refused(Reason::Forbidden).is_retryable(),
        "a policy has to change first"
    );
}

#[tokio::test]
async fn every_request_says_which_trace_it_belongs_to() {
    let server = MockServer::start().await;
    let root = TraceParent::of_generation("uid", 1);
    let bare = client(&server, None);
    let traced = bare.clone().within(Some(root));
    // What is answered does not matter.
    bare.status(&id()).await.unwrap_err();
    traced.status(&id()).await.unwrap_err();
    traced.root(Duration::from_secs(1)).await.unwrap_err();
    let recording = Recording::start();
    let span = tracing::error_span!(target: span::TARGET, "reconcile");
    let span = span::within(span, Some(root));
    traced.status(&id()).instrument(span).await.unwrap_err();
    let sent = server.received_requests().await.unwrap();
    let told: Vec<_> = sent
        .iter()
        .map(|request| kidp_telemetry::headers::received(&request.headers))
        .collect();
    assert_eq!(told[..3], [None, Some(root), Some(root)]);
    let spans = recording.spans();
    assert_eq!(
        (told[3], spans[0].parent),
        (Some(spans[0].at), root.span_id().get())
    );
    assert_eq!(spans[0].at.trace_id(), root.trace_id());
    // Of the four exchanges one was made in a trace that is sent; they are noted by route.
    let shown = crate::metrics::shown(&traced.metrics);
    let named = |route| exemplars(&shown, &["broker_request_duration_seconds_bucket", route]);
    let trace = format!("{:032x}", root.trace_id());
    assert_eq!(named(r#"route="status""#), [trace].into());
    assert_eq!(named(r#"route="root""#), [].into());
}

#[tokio::test]
async fn exchanges_are_noted_by_route_and_outcome() {
    let refused = Problem::new(Reason::InvalidField, "no");
    let (_server, client) = answering(ResponseTemplate::new(422).set_body_json(&refused)).await;
    assert!(client.status(&id()).await.is_err());
    // No route of the server's.
    assert!(client.root(Duration::from_secs(1)).await.is_err());
    let shown = crate::metrics::shown(&client.metrics);
    for labels in [
        r#"route="status",outcome="refused""#,
        r#"route="root",outcome="not_a_broker""#,
    ] {
        let line = format!("kidp_operator_broker_request_duration_seconds_count{{{labels}}} 1");
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
}

//! The sender against a real HTTP server, and its headers against the verifier.

use std::time::{Duration, Instant};

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::payload::tests::example;
use crate::verify::{TrustedBroker, verify};

fn sender() -> Sender {
    Sender::new(SigningKey::from_seed(&[1; 32]), "eu")
        .unwrap()
        .with_timing([Duration::from_millis(5); 2], Duration::from_millis(300))
}

async fn server(answer: ResponseTemplate) -> (MockServer, Url) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/cb"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let url = Url::parse(&format!("{}/cb", server.uri())).unwrap();
    (server, url)
}

async fn requests(server: &MockServer) -> Vec<wiremock::Request> {
    server.received_requests().await.unwrap()
}

#[tokio::test]
async fn what_is_sent_verifies() {
    let (server, url) = server(ResponseTemplate::new(200)).await;
    assert_eq!(
        sender().send_round(&url, "m-1", &example()).await,
        Outcome::Acknowledged
    );
    let received = requests(&server).await;
    assert_eq!(received.len(), 1);
    let keys = [SigningKey::from_seed(&[1; 32]).public()];
    let broker = TrustedBroker {
        name: "eu",
        keys: &keys,
    };
    let verified = verify(
        &received[0].headers,
        &received[0].body,
        broker,
        jiff::Timestamp::now(),
    )
    .unwrap();
    assert_eq!(verified.id, "m-1");
    assert_eq!(Callback::parse(&received[0].body).unwrap(), example());
}

#[tokio::test]
async fn a_server_error_is_tried_three_times_with_one_id() {
    let (server, url) = server(ResponseTemplate::new(503)).await;
    let outcome = sender().send_round(&url, "m-1", &example()).await;
    assert!(matches!(outcome, Outcome::Unreachable(_)) && outcome.may_succeed_later());
    let received = requests(&server).await;
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|r| r.headers["webhook-id"] == "m-1"));
}

#[tokio::test]
async fn an_error_that_passes_is_acknowledged_in_the_same_round() {
    let (server, url) = server(ResponseTemplate::new(200)).await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(2)
        .with_priority(1)
        .mount(&server)
        .await;
    assert_eq!(
        sender().send_round(&url, "m-1", &example()).await,
        Outcome::Acknowledged
    );
    assert_eq!(requests(&server).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    for (status, later) in [(400, false), (401, true), (404, true), (410, false), (422, false)] {
        let (server, url) = server(ResponseTemplate::new(status)).await;
        let outcome = sender().send_round(&url, "m-1", &example()).await;
        assert_eq!(outcome, Outcome::Rejected(status));
        assert_eq!(outcome.may_succeed_later(), later, "{status}");
        assert_eq!(requests(&server).await.len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (target, target_url) = server(ResponseTemplate::new(200)).await;
    let redirect = ResponseTemplate::new(307).insert_header("location", target_url.as_str());
    let (_server, url) = server(redirect).await;
    let outcome = sender().send_round(&url, "m-1", &example()).await;
    assert!(matches!(outcome, Outcome::Unreachable(_)));
    assert!(requests(&target).await.is_empty());
}

#[tokio::test]
async fn a_silent_server_ends_the_attempt_in_time() {
    let (_server, url) = server(ResponseTemplate::new(200).set_delay(Duration::from_secs(20))).await;
    let started = Instant::now();
    let outcome = sender().send_round(&url, "m-1", &example()).await;
    assert_eq!(outcome, Outcome::Unreachable("no answer in time".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let url = Url::parse("http://127.0.0.1:1/cb").unwrap();
    let outcome = sender().send_round(&url, "m-1", &example()).await;
    assert_eq!(outcome, Outcome::Unreachable("no connection".to_owned()));
}

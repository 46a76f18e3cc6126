//! The sender against a real HTTP server, and its headers against the verifier.

use std::time::{Duration, Instant};

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::keys::SigningKey;
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

#[tokio::test]
async fn a_rotated_key_is_used_at_once_beside_the_one_before() {
    let (server, url) = server(ResponseTemplate::new(200)).await;
    let (old, new) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let ring = KeyRing::from(old.clone());
    let sender = Sender::new(ring.clone(), "eu").unwrap();
    ring.replace(new.clone(), Some(old.clone()));
    assert_eq!(ring.public(), new.public());
    sender.send_round(&url, "m-1", &example()).await;
    let received = requests(&server).await;
    for key in [old, new] {
        let keys = [key.public()];
        let broker = TrustedBroker {
            name: "eu",
            keys: &keys,
        };
        let (headers, body) = (&received[0].headers, &received[0].body);
        assert!(verify(headers, body, broker, jiff::Timestamp::now()).is_ok());
    }
}

/// A server with a certificate for `localhost` by an authority of its own; it answers one request.
async fn private_tls() -> (String, Url) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let private = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/cb", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = vec![0; 64 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (pem, Url::parse(&url).unwrap())
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let (pem, url) = private_tls().await;
    let named = Sender::new(SigningKey::from_seed(&[1; 32]), "eu").unwrap();
    let stranger = named.clone();
    let named = named.trusting(pem.as_bytes()).unwrap();
    assert_eq!(
        named.attempt(None, &url, "m-1", b"{}").await,
        Outcome::Acknowledged
    );
    let refused = stranger.attempt(None, &url, "m-2", b"{}").await;
    assert!(matches!(refused, Outcome::Unreachable(_)), "{refused:?}");
    assert!(
        stranger
            .trusting(b"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
            .is_err()
    );
}

#[tokio::test]
async fn a_callback_of_a_trace_says_so_and_one_of_none_does_not() {
    let (server, url) = server(ResponseTemplate::new(204)).await;
    let trace = TraceParent::of_generation("uid", 1);
    for trace in [None, Some(trace)] {
        let outcome = sender().send_round_within(trace, &url, "m-1", &example()).await;
        assert_eq!(outcome, Outcome::Acknowledged);
    }
    let sent = requests(&server).await;
    assert!(!sent[0].headers.contains_key("traceparent"));
    assert_eq!(sent[1].headers["traceparent"], trace.to_string());
}

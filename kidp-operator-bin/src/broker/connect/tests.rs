//! Clients of brokers against servers of this machine, with Secrets from an API server that a closure plays.

use std::net::SocketAddr;

use axum::{Extension, Router, routing::get};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kidp_broker::auth::Peer;
use kidp_broker::reload::Live;
use kidp_broker::server::tls::Tls;
use kidp_broker::server::{Limits, serve};
use kube::client::Body;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wiremock::matchers::header;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::testing;

const SECOND: Duration = Duration::from_secs(1);

/// An API server with one Secret, `s`.
fn kube(entries: &[(&str, &str)]) -> Client {
    let data: BTreeMap<_, _> = entries
        .iter()
        .map(|(k, v)| (*k, BASE64_STANDARD.encode(v)))
        .collect();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
    let service = tower::service_fn(move |request: axum::http::Request<Body>| {
        let found = request.uri().path() == "/api/v1/namespaces/shop/secrets/s";
        let absent = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"});
        let (code, body) = if found {
            (200, secret.clone())
        } else {
            (404, absent)
        };
        let body = Body::from(body.to_string().into_bytes());
        async move {
            let answer = axum::http::Response::builder().status(code);
            Ok::<_, std::convert::Infallible>(answer.body(body).unwrap())
        }
    });
    Client::new(service, "default")
}

fn connections(entries: &[(&str, &str)], own: OwnCredentials) -> Connections {
    let http = kidp_callback::http::client(SECOND).unwrap();
    Connections::new(http.into(), kube(entries), SECOND, own)
}

fn broker(endpoint: &str, authentication: &Value) -> Broker {
    let mut broker = testing::broker("eu", None);
    endpoint.clone_into(&mut broker.spec.endpoint);
    broker.spec.authentication = serde_json::from_value(authentication.clone()).unwrap();
    broker
}

/// The token that a broker at `/health` is shown.
async fn shown(connections: &Connections, authentication: &Value) -> Option<String> {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let client = connections
        .client(&broker(&server.uri(), authentication))
        .await
        .unwrap();
    client.health("/health", SECOND).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let value = requests[0].headers.get("authorization")?;
    Some(value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_type_shows_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "own.token.1\n").unwrap();
    let own = OwnCredentials {
        token_file: Some(path.clone()),
        authorities: None,
    };
    let entries = [("api-key", "k3y"), ("token", "a.b.c"), ("other", "x.y.z")];
    let connections = connections(&entries, own);
    let of = |type_: &str, reference: Value| json!({"type": type_, "secretRef": reference});
    let bearer = |text: &str| Some(format!("Bearer {text}"));
    assert_eq!(shown(&connections, &json!({"type": "none"})).await, None);
    assert_eq!(
        shown(&connections, &of("api-key", json!({"name": "s"}))).await,
        bearer("k3y")
    );
    assert_eq!(
        shown(&connections, &of("jwt", json!({"name": "s"}))).await,
        bearer("a.b.c")
    );
    let named = of("jwt", json!({"name": "s", "key": "other"}));
    assert_eq!(shown(&connections, &named).await, bearer("x.y.z"));
    let jwt = json!({"type": "jwt"});
    assert_eq!(shown(&connections, &jwt).await, bearer("own.token.1"));
    std::fs::write(&path, "own.token.2").unwrap();
    assert_eq!(
        shown(&connections, &jwt).await,
        bearer("own.token.2"),
        "after it was rotated"
    );
}

#[tokio::test]
async fn what_is_missing_is_told_and_nothing_is_sent() {
    let entries = [("api-key", " "), ("token", "a b")];
    let connections = connections(&entries, OwnCredentials::default());
    let http = "http://127.0.0.1:9";
    let of = |type_: &str, name: &str| json!({"type": type_, "secretRef": {"name": name}});
    for (endpoint, authentication, word) in [
        (http, json!({"type": "jwt"}), "--broker-token-file"),
        (http, of("api-key", "s"), "`api-key`"),
        (http, of("jwt", "s"), "`token`"),
        (http, of("api-key", "absent"), "`absent`"),
        (http, of("mtls", "s"), "needs https"),
        ("https://b.example", of("mtls", "s"), "`tls.crt`"),
        (
            "ftp://b.example",
            json!({"type": "none"}),
            "not an http or https URL",
        ),
    ] {
        let error = connections
            .client(&broker(endpoint, &authentication))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(word), "{authentication}: {error}");
    }
    let unreadable = OwnCredentials {
        token_file: Some("/nowhere/token".into()),
        authorities: None,
    };
    let connections = Connections {
        own: unreadable,
        ..connections
    };
    let jwt = broker(http, &json!({"type": "jwt"}));
    assert!(matches!(
        connections.client(&jwt).await,
        Err(ConnectError::TokenFile)
    ));
}

#[tokio::test]
async fn a_key_does_not_go_over_the_network_in_plain() {
    let connections = connections(&[("api-key", "k3y")], OwnCredentials::default());
    let key = json!({"type": "api-key", "secretRef": {"name": "s"}});
    for (endpoint, sent) in [
        ("http://127.0.0.1:8082", true),
        ("http://[::1]:8082", true),
        ("http://localhost:8082", true),
        ("http://kidp-broker.kidp-broker-local.svc:8082", true),
        ("http://kidp-broker.kidp-broker-local.svc.cluster.local.", true),
        ("https://broker.example", true),
        ("http://broker.example", false),
        ("http://10.0.0.1:8082", false),
        ("http://svc", false),
        ("http://a.svc.evil.example", false),
        ("http://localhost.evil.example", false),
    ] {
        let made = connections.client(&broker(endpoint, &key)).await;
        assert!(
            made.is_ok() == sent && (sent || matches!(made, Err(ConnectError::Plain))),
            "{endpoint}"
        );
        let nobody = broker(endpoint, &json!({"type": "none"}));
        assert!(connections.client(&nobody).await.is_ok(), "{endpoint}");
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        [certificate.pem(), key.serialize_pem()]
    }
}

/// The broker's own server, with a route that lets only clients in that have a certificate of this name.
async fn tls_server(
    server: &Authority,
    clients: &Authority,
    name: &'static str,
) -> (SocketAddr, CancellationToken) {
    let [certificate, key] = server.issue("localhost");
    let files = [certificate, key, clients.0.pem()].map(String::into_bytes);
    let who = async move |Extension(peer): Extension<Peer>| match peer.certificate.as_deref() {
        Some(found) if found == name => axum::http::StatusCode::OK,
        _ => axum::http::StatusCode::UNAUTHORIZED,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let tls = Live::fixed(Tls::parse(&files).unwrap());
    let app = Router::new().route("/health", get(who));
    tokio::spawn(serve(listener, app, Some(tls), Limits::new(8), stop.clone()));
    (address, stop)
}

#[tokio::test]
async fn a_client_certificate_and_the_brokers_authorities_come_from_the_secret() {
    let (server, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let (address, _stop) = tls_server(&server, &clients, "operator.kidp").await;
    let endpoint = format!("https://localhost:{}", address.port());
    let mtls = broker(&endpoint, &json!({"type": "mtls", "secretRef": {"name": "s"}}));
    let healthy = async |authority: &Authority, ca: Option<&Authority>, own: Option<&Authority>| {
        let [certificate, key] = authority.issue("operator.kidp");
        let ca = ca.map(|ca| ca.0.pem()).unwrap_or_default();
        let mut entries = vec![("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
        entries.extend((!ca.is_empty()).then_some(("ca.crt", ca.as_str())));
        let own = OwnCredentials {
            token_file: None,
            authorities: own.map(|ca| ca.0.pem().into_bytes()),
        };
        let client = connections(&entries, own).client(&mtls).await.unwrap();
        client.health("/health", SECOND).await.is_ok()
    };
    assert!(healthy(&clients, Some(&server), None).await);
    assert!(
        healthy(&clients, None, Some(&server)).await,
        "by --broker-ca-file"
    );
    assert!(
        healthy(&clients, Some(&server), Some(&stranger)).await,
        "the Secret's own go first"
    );
    assert!(
        !healthy(&clients, Some(&stranger), None).await,
        "a broker that is another"
    );
    assert!(
        !healthy(&clients, None, None).await,
        "a broker that the system does not know"
    );
    assert!(
        !healthy(&stranger, Some(&server), None).await,
        "a certificate of another authority"
    );
    let nobody = broker(&endpoint, &json!({"type": "none"}));
    let own = OwnCredentials {
        token_file: None,
        authorities: Some(server.0.pem().into_bytes()),
    };
    let client = connections(&[], own).client(&nobody).await.unwrap();
    assert!(
        client.health("/health", SECOND).await.is_err(),
        "no certificate without mtls"
    );
}

#[tokio::test]
async fn clients_are_kept_until_the_certificate_is_renewed_and_not_beyond_number() {
    let authority = Authority::new();
    let connections = connections(&[], OwnCredentials::default());
    let settings = || TlsSettings {
        authorities: Some(authority.0.pem().into_bytes()),
        identity: Some(authority.issue("operator.kidp").concat().into_bytes()),
    };
    let first = settings();
    for _ in 0..3 {
        connections.tls_client(&first).unwrap();
    }
    assert_eq!(lock(&connections.tls).len(), 1);
    for _ in 0..=MAX_CLIENTS {
        connections.tls_client(&settings()).unwrap();
    }
    assert!(lock(&connections.tls).len() <= MAX_CLIENTS);
    let broken = TlsSettings {
        identity: Some(b"nonsense".to_vec()),
        ..first
    };
    assert!(connections.tls_client(&broken).is_err());
}

#[tokio::test]
async fn all_clients_of_a_broker_share_its_pause() {
    let server = MockServer::start().await;
    let template = ResponseTemplate::new(429).insert_header("retry-after", "5");
    Mock::given(header("host", server.address().to_string().as_str()))
        .respond_with(template)
        .expect(1)
        .mount(&server)
        .await;
    let connections = connections(&[], OwnCredentials::default());
    let eu = broker(&server.uri(), &json!({"type": "none"}));
    for _ in 0..2 {
        let client = connections.client(&eu).await.unwrap();
        let error = client.health("/health", SECOND).await.unwrap_err();
        assert!(error.busy().is_some_and(|wait| wait > SECOND), "{error}");
    }
}

#[tokio::test]
async fn a_check_tells_a_broker_that_does_not_let_us_in_from_one_that_is_busy() {
    use kidp_core::problem::{Problem, Reason};
    use wiremock::matchers::path;

    for (reason, wanted) in [
        (Reason::Unauthorized, "Misconfigured(\"Unauthorized\""),
        (Reason::TooManyRequests, "Busy"),
        (Reason::Unavailable, "Failing"),
    ] {
        let server = MockServer::start().await;
        let problem = Problem::new(reason, "no");
        let refusal = ResponseTemplate::new(reason.http_status()).set_body_json(&problem);
        Mock::given(path("/health"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        Mock::given(path("/")).respond_with(refusal).mount(&server).await;
        let connections = connections(&[], OwnCredentials::default());
        let eu = broker(&server.uri(), &json!({"type": "none"}));
        let found = format!("{:?}", crate::broker::health::check(&eu, &connections).await);
        assert!(found.starts_with(wanted), "{found}");
    }
}

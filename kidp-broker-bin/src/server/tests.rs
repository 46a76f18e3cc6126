//! The server over real sockets: what holds on to it is cut off, and what is too much is refused or waits.

use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::auth::api_keys::ApiKeys;
use crate::rate_limit::RateLimits;
use crate::testing::{broker, client, list};
use crate::{Broker, app};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn limits() -> Limits {
    Limits {
        head: MS(400),
        handshake: MS(400),
        drain: Duration::from_secs(2),
        of_address: 8,
        ..Limits::new(8)
    }
}

fn quiet() -> Broker {
    broker(client(|_, _| list(&[])))
}

/// Serves a broker at an address of this machine, until the token is cancelled.
async fn start(broker: Broker, tls: Option<Live<Tls>>, limits: Limits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, app(Arc::new(broker)), tls, limits, stop.clone()));
    (address, stop)
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\n";

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// What comes until the server closes, or the start of an answer where it does not.
async fn hear(stream: &mut TcpStream, limit: Duration) -> Option<String> {
    let mut text = Vec::new();
    let all = async {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            text.extend_from_slice(&bytes[..length]);
        }
    };
    let closed = tokio::time::timeout(limit, all).await.is_ok();
    closed.then(|| String::from_utf8_lossy(&text).into_owned())
}

async fn status_of(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut bytes)).await;
    read.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[9..]).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_a_byte_at_a_time_is_cut_off() {
    let (address, _stop) = start(quiet(), None, limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    let mut sent = 0;
    for byte in HEALTH.bytes().cycle() {
        if stream.write_all(&[byte]).await.is_err() || began.elapsed() > Duration::from_secs(5) {
            break;
        }
        sent += 1;
        tokio::time::sleep(MS(50)).await;
    }
    assert!((5..50).contains(&sent), "{sent} bytes in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_at_first_and_after_a_request() {
    let (address, _stop) = start(quiet(), None, limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(
        hear(&mut stream, Duration::from_secs(3)).await.as_deref(),
        Some("")
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, &format!("{HEALTH}\r\n")).await;
    let answer = hear(&mut stream, Duration::from_secs(3)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_in_504_and_a_closed_connection() {
    let (address, _stop) = start(quiet(), None, limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/provision HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    say(&mut stream, head).await;
    let began = Instant::now();
    let (mut reading, mut writing) = stream.into_split();
    let slow = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(MS(50)).await;
        }
    });
    let mut answer = Vec::new();
    // The reset that a client gets who goes on sending is as good as an orderly end.
    let read = tokio::time::timeout(Duration::from_secs(5), reading.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "still open");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    tokio::time::timeout(Duration::from_secs(2), slow)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn heads_that_are_too_large_are_431() {
    let (address, _stop) = start(quiet(), None, limits()).await;
    let long = format!("{HEALTH}x-long: {}\r\n\r\n", "x".repeat(17 * 1024));
    let many = (0..70)
        .map(|n| format!("x-{n}: y\r\n"))
        .collect::<Vec<_>>()
        .concat();
    for head in [long, format!("{HEALTH}{many}\r\n")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before all of it is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        assert_eq!(status_of(&mut stream).await, "431");
    }
    let fits = format!("{HEALTH}authorization: Bearer {}\r\n\r\n", "x".repeat(8 * 1024));
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, &fits).await;
    assert_eq!(status_of(&mut stream).await, "200", "a long token passes");
}

#[tokio::test]
async fn one_connection_more_waits_until_another_goes() {
    let roomy = Limits {
        head: Duration::from_secs(20),
        connections: 2,
        ..limits()
    };
    let (address, _stop) = start(quiet(), None, roomy).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        say(&mut stream, &format!("{HEALTH}\r\n")).await;
        assert_eq!(status_of(&mut stream).await, "200");
        held.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    say(&mut third, &format!("{HEALTH}\r\n")).await;
    let mut byte = [0];
    let early = tokio::time::timeout(MS(300), third.read(&mut byte)).await;
    assert!(early.is_err(), "it waits");
    held.pop();
    assert_eq!(status_of(&mut third).await, "200");
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let fair = Limits {
        of_address: 2,
        head: Duration::from_secs(20),
        ..limits()
    };
    let (address, _stop) = start(quiet(), None, fair).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        say(&mut stream, &format!("{HEALTH}\r\n")).await;
        assert_eq!(status_of(&mut stream).await, "200");
        held.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(
        hear(&mut third, Duration::from_secs(3)).await.as_deref(),
        Some("")
    );
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = elsewhere.connect(address).await.unwrap();
    say(&mut other, &format!("{HEALTH}\r\n")).await;
    assert_eq!(status_of(&mut other).await, "200", "another address has its own");
}

#[tokio::test]
async fn an_old_connection_is_closed_between_two_requests() {
    let ageing = Limits {
        age: MS(300),
        head: Duration::from_secs(20),
        ..limits()
    };
    let (address, _stop) = start(quiet(), None, ageing).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, &format!("{HEALTH}\r\n")).await;
    let answer = hear(&mut stream, Duration::from_secs(3)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_is_in_flight_at_the_end_is_answered() {
    let slow = client(|_, _| {
        std::thread::sleep(MS(300));
        list(&[])
    });
    let (address, stop) = start(broker(slow), None, limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, "GET /v1/resources HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(MS(100)).await;
    stop.cancel();
    let answer = hear(&mut stream, Duration::from_secs(3)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "and nobody else is let in"
    );
}

/// A certificate authority of a test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key in PEM.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn https(server: &Authority, client: Option<&(String, String)>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(server.pem().as_bytes()).unwrap();
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    if let Some((certificate, key)) = client {
        let both = format!("{certificate}{key}");
        builder = builder.identity(reqwest::Identity::from_pem(both.as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

fn files(server: &Authority, clients: &Authority) -> Vec<Vec<u8>> {
    let (certificate, key) = server.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    [certificate, key, clients.pem()].map(String::into_bytes).to_vec()
}

fn with_certificates() -> Broker {
    let mut broker = quiet();
    broker.access.authenticator.certificates = true;
    let keys = ApiKeys::parse(b"ci:correct-horse-battery").unwrap();
    broker.access.authenticator.keys = Some(Live::fixed(keys));
    broker
}

#[tokio::test]
async fn a_certificate_is_who_a_client_is_and_probes_need_none() {
    let (server, clients, strangers) = (Authority::new("s"), Authority::new("c"), Authority::new("x"));
    let tls = Live::fixed(Tls::parse(&files(&server, &clients)).unwrap());
    let mut broker = with_certificates();
    broker.access.limits = RateLimits::new(50);
    let (address, _stop) = start(broker, Some(tls), limits()).await;
    let url = |path: &str| format!("https://localhost:{}{path}", address.port());
    let get = async |client: &reqwest::Client, path: &str| {
        client
            .get(url(path))
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    };
    let nobody = https(&server, None);
    assert_eq!(get(&nobody, "/health").await.unwrap(), 200);
    assert_eq!(get(&nobody, "/readiness").await.unwrap(), 200);
    assert_eq!(get(&nobody, "/").await.unwrap(), 401);
    let with_key = nobody
        .get(url("/"))
        .bearer_auth("correct-horse-battery")
        .send()
        .await;
    assert_eq!(with_key.unwrap().status(), 200, "other ways stay open");
    let known = clients.issue("operator.kidp", ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(get(&https(&server, Some(&known)), "/").await.unwrap(), 200);
    let stranger = strangers.issue("operator.kidp", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(get(&https(&server, Some(&stranger)), "/health").await.is_err());
    let servers = clients.issue("operator.kidp", ExtendedKeyUsagePurpose::ServerAuth);
    assert!(
        get(&https(&server, Some(&servers)), "/").await.is_err(),
        "a server's certificate is no client's"
    );
}

#[tokio::test]
async fn a_policy_names_clients_by_their_certificates() {
    let (server, clients) = (Authority::new("s"), Authority::new("c"));
    let tls = Live::fixed(Tls::parse(&files(&server, &clients)).unwrap());
    let mut broker = with_certificates();
    let policy = b"clients: [{method: certificate, name: operator.kidp, namespaces: [shop], verbs: [read]}]";
    let policy = crate::auth::policy::Policy::parse(policy).unwrap();
    broker.access.policy = Some(Live::fixed(policy));
    let (address, _stop) = start(broker, Some(tls), limits()).await;
    for (name, status) in [("operator.kidp", 200), ("other.kidp", 403)] {
        let client = https(
            &server,
            Some(&clients.issue(name, ExtendedKeyUsagePurpose::ClientAuth)),
        );
        let url = format!("https://localhost:{}/v1/resources?namespace=shop", address.port());
        assert_eq!(
            client.get(url).send().await.unwrap().status().as_u16(),
            status,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let (old, new, clients) = (Authority::new("old"), Authority::new("new"), Authority::new("c"));
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ["tls.crt", "tls.key", "ca.crt"]
        .map(|name| folder.path().join(name))
        .to_vec();
    let write = |server: &Authority| {
        for (path, contents) in paths.iter().zip(files(server, &clients)) {
            std::fs::write(path, contents).unwrap();
        }
    };
    write(&old);
    let stop = CancellationToken::new();
    let tls = crate::reload::follow(paths.clone(), Tls::parse, MS(20), stop.clone()).unwrap();
    let (address, _stop) = start(quiet(), Some(tls), limits()).await;
    let url = format!("https://localhost:{}/health", address.port());
    assert!(https(&old, None).get(&url).send().await.is_ok());
    assert!(https(&new, None).get(&url).send().await.is_err());
    write(&new);
    let mut renewed = false;
    for _ in 0..100 {
        tokio::time::sleep(MS(20)).await;
        renewed = https(&new, None).get(&url).send().await.is_ok();
        if renewed {
            break;
        }
    }
    assert!(renewed && https(&old, None).get(&url).send().await.is_err());
    stop.cancel();
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (server, clients) = (Authority::new("s"), Authority::new("c"));
    let tls = Live::fixed(Tls::parse(&files(&server, &clients)).unwrap());
    let (address, _stop) = start(quiet(), Some(tls), limits()).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(
        hear(&mut silent, Duration::from_secs(3)).await.as_deref(),
        Some("")
    );
    let mut plain = TcpStream::connect(address).await.unwrap();
    say(&mut plain, &format!("{HEALTH}\r\n")).await;
    let answer = hear(&mut plain, Duration::from_secs(3)).await.unwrap();
    assert!(!answer.contains("HTTP"), "{answer}");
}

#[test]
fn files_that_make_no_server_are_told_apart() {
    let (server, clients) = (Authority::new("s"), Authority::new("c"));
    let good = files(&server, &clients);
    assert!(Tls::parse(&good).is_ok() && Tls::parse(&good[..2]).is_ok());
    let with = |place: usize, contents: &[u8]| {
        let mut files = good.clone();
        files[place] = contents.to_vec();
        Tls::parse(&files).unwrap_err()
    };
    assert!(matches!(with(0, b""), tls::TlsError::Certificate));
    assert!(matches!(with(1, b"nonsense"), tls::TlsError::Key));
    assert!(matches!(with(2, b""), tls::TlsError::ClientCa));
    let (_, other) = server.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    assert!(matches!(with(1, other.as_bytes()), tls::TlsError::Pair(_)));
}

//! The broker's front door on a real cluster: tokens that its API server makes and judges, and a policy.
//!
//! The broker is a process of this machine; tokens come from `TokenRequest`, as the kubelet gets them for a pod. Each
//! test has a namespace of its own, which is also its broker's name.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kidp_core::crd::{Broker, BrokerPhase};
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::fixtures::{create_broker, create_guarded_broker};
use kidp_e2e::process::{Process, binaries, free_port};
use kidp_e2e::proxy::ApiProxy;
use kidp_e2e::wait::{Seen, until};
use kube::api::PostParams;
use kube::{Api, Client};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

const AUDIENCE: &str = "kidp-e2e-door";
const LIMIT: Duration = Duration::from_mins(2);

/// A broker with its namespace and two service accounts, `operator` and `stranger`.
struct Door {
    client: Client,
    namespace: String,
    url: String,
    broker: Process,
    // The broker talks to the API server through it.
    _relay: ApiProxy,
    folder: TempDir,
}

impl Door {
    /// Starts a broker with these flags; `files` are put into a folder first, where `{}` in a flag stands for it.
    async fn open(name: &str, flags: &[&str], files: &[(&str, String)]) -> Self {
        let client = connect().await.unwrap();
        install_crds(&client).await.unwrap();
        let namespace = format!("kidp-e2e-door-{name}");
        purge(&client, &namespace).await.unwrap();
        create_namespace(&client, &namespace).await.unwrap();
        for account in ["operator", "stranger"] {
            let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
            let mut object = ServiceAccount::default();
            object.metadata.name = Some(account.to_owned());
            api.create(&PostParams::default(), &object).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        for (file, contents) in files {
            std::fs::write(folder.path().join(file), contents).unwrap();
        }
        let relay = ApiProxy::start(client.clone(), folder.path(), "broker")
            .await
            .unwrap();
        let (broker, url) = start(&namespace, relay.kubeconfig(), flags, folder.path()).await;
        Self {
            client,
            namespace,
            url,
            broker,
            _relay: relay,
            folder,
        }
    }

    /// A token of a service account for an audience; the API server's own where there is none.
    async fn token(&self, account: &str, audience: Option<&str>) -> String {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience.to_owned()]),
                expiration_seconds: Some(600),
                bound_object_ref: None,
            }),
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        answer.unwrap().status.unwrap().token.unwrap()
    }

    fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = reqwest::Client::new()
            .request(method, format!("{}{path}", self.url))
            .timeout(Duration::from_secs(15));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        self.answer(self.request(Method::GET, path, token)).await
    }

    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        self.answer(self.request(Method::POST, path, token).json(body))
            .await
    }

    async fn answer(&self, request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn provision(&self) -> Value {
        json!({"resourceType": "Database", "resourceName": "orders", "namespace": self.namespace, "team": "payments",
            "spec": {"engine": "postgresql", "version": "15", "storage": {"size": "1Gi"}}})
    }

    /// Plans an instance, makes it, plans a change of it and removes it again, as a client that may do all of that. What
    /// is planned is not done.
    async fn provision_and_remove(&self, token: &str) {
        let path = format!("/v1/resources?namespace={}", self.namespace);
        let (status, plan) = self.post("/v1/plan", Some(token), &self.provision()).await;
        assert_eq!((status, plan["action"].as_str()), (200, Some("create")), "{plan}");
        let created = plan["created"].as_array().unwrap();
        assert!(
            created.contains(&json!("StatefulSet/orders-postgresql")),
            "{plan}"
        );
        assert_eq!(plan["refusals"], json!([]), "{plan}");
        let (_, list) = self.get(&path, Some(token)).await;
        assert_eq!(list["total"], 0, "nothing is recorded: {list}");
        let (status, accepted) = self.post("/v1/provision", Some(token), &self.provision()).await;
        assert_eq!(status, 202, "{accepted}\n{}", self.log());
        self.plan_a_change(token).await;
        let removal = json!({"deploymentId": accepted["deploymentId"]});
        let (status, body) = self.post("/v1/deprovision", Some(token), &removal).await;
        assert_eq!(status, 202, "{body}\n{}", self.log());
        let gone = until("the instance to be gone", LIMIT, async || {
            let (_, list) = self.get(&path, Some(token)).await;
            Ok(if list["total"] == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(list.to_string())
            })
        });
        gone.await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// More CPU and memory, once everything is there.
    async fn plan_a_change(&self, token: &str) {
        let mut larger = self.provision();
        larger["spec"]["size"] = "medium".into();
        larger["resourceGeneration"] = 2.into();
        let planned = until("the plan of a change", LIMIT, async || {
            let (status, plan) = self.post("/v1/plan", Some(token), &larger).await;
            assert_eq!((status, plan["action"].as_str()), (200, Some("update")), "{plan}");
            Ok(if plan["created"] == json!([]) {
                Seen::Done(plan)
            } else {
                Seen::NotYet(plan.to_string())
            })
        });
        let plan = planned
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        assert_eq!(plan["consequence"], "rolling-restart", "{plan}");
        let cpu = |when: &str| plan["resources"][when]["cpuCores"].as_f64().unwrap();
        assert!(cpu("after") > cpu("before") && cpu("before") > 0.0, "{plan}");
        let changes = plan["changes"].as_array().unwrap();
        let of_cpu = |change: &Value| change["path"].as_str().unwrap().ends_with("requests.cpu");
        assert!(changes.iter().any(of_cpu), "{plan}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default()
    }

    async fn close(self) {
        assert!(self.broker.terminate().await.unwrap());
        delete_namespace(&self.client, &self.namespace).await.unwrap();
    }
}

async fn start(namespace: &str, kubeconfig: &Path, flags: &[&str], folder: &Path) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let place = folder.display().to_string();
    let mut arguments = [
        "--name",
        namespace,
        "--namespace",
        namespace,
        "--listen",
        &address,
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(flags.iter().map(|flag| flag.replace("{}", &place)));
    let program = binaries().unwrap().join("kidp-broker");
    let url = format!("http://{address}");
    let (log, health) = (folder.join("broker.log"), format!("{url}/readiness"));
    let process = Process::start(&program, kubeconfig, &arguments, &log, &health).await;
    (process.unwrap(), url)
}

/// The metrics at an address, which asks for no credentials.
async fn scrape(address: &str) -> String {
    let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn only_a_token_for_the_brokers_audience_lets_a_client_in() {
    let metrics = format!("127.0.0.1:{}", free_port().unwrap());
    let flags = ["--token-audience", AUDIENCE, "--metrics-listen", &metrics];
    let door = Door::open("tokens", &flags, &[]).await;
    let right = door.token("operator", Some(AUDIENCE)).await;
    for wrong in [
        None,
        Some(door.token("operator", Some("another")).await),
        Some(door.token("operator", None).await),
        Some(format!("{}x", right.get(..right.len() - 5).unwrap())),
        Some("nonsense".to_owned()),
    ] {
        for path in ["/v1/provision", "/v1/plan"] {
            let (status, body) = door.post(path, wrong.as_deref(), &door.provision()).await;
            assert_eq!(
                (status, body["error"].as_str()),
                (401, Some("Unauthorized")),
                "{path} {wrong:?}"
            );
        }
    }
    door.provision_and_remove(&right).await;
    let told = scrape(&metrics).await;
    assert!(told.contains(r#"operation="apply",outcome="ok""#), "{told}");
    assert!(
        !told.contains("orders") && !told.contains(&door.namespace),
        "{told}"
    );
    let (status, _) = door.get("/metrics", Some(&right)).await;
    assert_eq!(status, 404, "not at the API");
    let log = door.log();
    let client = format!("system:serviceaccount:{}:operator", door.namespace);
    let told = |words: &[&str]| {
        log.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        told(&["audit", &client, "serviceAccount", "allowed", "202"]),
        "{log}"
    );
    assert!(told(&["audit", "refused", "401", "Unauthorized"]), "{log}");
    assert!(!log.contains(&right), "no token in the log");
    door.close().await;
}

#[tokio::test]
async fn a_policy_keeps_clients_to_their_namespaces() {
    let namespace = "kidp-e2e-door-policy";
    let policy = json!({"clients": [
        {"method": "serviceAccount", "name": format!("system:serviceaccount:{namespace}:operator"),
            "namespaces": [namespace], "verbs": ["read", "write"]}]});
    let flags = [
        "--token-audience",
        AUDIENCE,
        "--authorization-file",
        "{}/policy.json",
    ];
    let door = Door::open("policy", &flags, &[("policy.json", policy.to_string())]).await;
    let operator = door.token("operator", Some(AUDIENCE)).await;
    let stranger = door.token("stranger", Some(AUDIENCE)).await;
    let mut elsewhere = door.provision();
    elsewhere["namespace"] = "default".into();
    for (token, body) in [(&stranger, &door.provision()), (&operator, &elsewhere)] {
        let (status, answer) = door.post("/v1/provision", Some(token), body).await;
        assert_eq!(
            (status, answer["error"].as_str()),
            (403, Some("Forbidden")),
            "{answer}"
        );
    }
    let (status, _) = door.get("/v1/resources?namespace=default", Some(&operator)).await;
    assert_eq!(status, 403);
    door.provision_and_remove(&operator).await;
    door.close().await;
}

/// Waits until the `Broker` object says this phase, with this reason of its first condition.
async fn broker_says(
    client: &Client,
    namespace: &str,
    phase: BrokerPhase,
    reason: &str,
) -> kidp_e2e::Result<()> {
    let api: Api<Broker> = Api::namespaced(client.clone(), namespace);
    let what = format!("the broker to be {phase:?}, {reason}");
    until(&what, LIMIT, async || {
        let status = api.get(namespace).await.ok().and_then(|broker| broker.status);
        let status = status.unwrap_or_default();
        let said = status.conditions.first().map(|c| c.reason.as_str());
        Ok(if status.phase == phase && said == Some(reason) {
            Seen::Done(())
        } else {
            Seen::NotYet(serde_json::to_string(&status).unwrap())
        })
    })
    .await
}

/// Starts an operator of one namespace, with the token in `token` of the folder; gives the address of its probes as well.
async fn start_operator(namespace: &str, kubeconfig: &Path, folder: &Path) -> (Process, String) {
    let (callback, health) = (free_port().unwrap(), free_port().unwrap());
    let arguments = [
        format!("--callback-listen=127.0.0.1:{callback}"),
        format!("--health-listen=127.0.0.1:{health}"),
        format!("--broker-namespace={namespace}"),
        format!("--watch-namespace={namespace}"),
        format!("--broker-token-file={}", folder.join("token").display()),
    ];
    let program = binaries().unwrap().join("kidp-operator");
    let ready = format!("http://127.0.0.1:{health}/readyz");
    let log = folder.join("operator.log");
    let process = Process::start(&program, kubeconfig, &arguments, &log, &ready).await;
    (process.unwrap(), format!("127.0.0.1:{health}"))
}

#[tokio::test]
async fn the_operator_shows_its_token_and_takes_up_a_new_one() {
    let door = Door::open("operator", &["--token-audience", AUDIENCE], &[]).await;
    let (client, namespace, folder) = (&door.client, door.namespace.as_str(), door.folder.path());
    let write = async |audience: &str| {
        let token = door.token("operator", Some(audience)).await;
        std::fs::write(folder.join("token"), token).unwrap();
    };
    write("another").await;
    let registered = create_guarded_broker(client, namespace, namespace, &door.url, "jwt").await;
    registered.unwrap();
    let relay = ApiProxy::start(client.clone(), folder, "operator").await.unwrap();
    let (operator, probes) = start_operator(namespace, relay.kubeconfig(), folder).await;
    let must = |said: kidp_e2e::Result<()>| {
        let log = || std::fs::read_to_string(folder.join("operator.log")).unwrap_or_default();
        said.unwrap_or_else(|error| panic!("{error}\n{}\n{}", door.log(), log()));
    };
    must(broker_says(client, namespace, BrokerPhase::Unknown, "Unauthorized").await);
    write(AUDIENCE).await;
    must(broker_says(client, namespace, BrokerPhase::Ready, "Healthy").await);
    let told = scrape(&probes).await;
    for line in [
        r#"kidp_operator_brokers{phase="Ready"} 1"#,
        r#"kidp_operator_reconcile_duration_seconds_count{kind="Broker",outcome="ok"}"#,
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(operator.terminate().await.unwrap());
    door.close().await;
}

#[tokio::test]
async fn a_broker_that_asks_to_wait_stays_ready() {
    // The operator checks every second; the broker grants a request every six.
    let door = Door::open("limit", &["--rate-limit-per-minute", "10"], &[]).await;
    let (client, namespace, folder) = (&door.client, door.namespace.as_str(), door.folder.path());
    let registered = create_broker(client, namespace, namespace, &door.url).await;
    registered.unwrap();
    let relay = ApiProxy::start(client.clone(), folder, "operator").await.unwrap();
    let (operator, _) = start_operator(namespace, relay.kubeconfig(), folder).await;
    broker_says(client, namespace, BrokerPhase::Ready, "Healthy")
        .await
        .unwrap();
    // Without authentication a client is its address, which is the operator's too.
    let spent = until("the allowance to be spent", LIMIT, async || {
        let answer = door.request(Method::GET, "/", None).send().await.unwrap();
        let wait = answer.headers().get("retry-after").is_some();
        Ok(match answer.status().as_u16() {
            429 if wait => Seen::Done(()),
            other => Seen::NotYet(other.to_string()),
        })
    });
    spent.await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let said = broker_says(client, namespace, BrokerPhase::Ready, "Healthy");
        let now = tokio::time::timeout(Duration::from_secs(2), said).await;
        let log = || std::fs::read_to_string(folder.join("operator.log")).unwrap_or_default();
        assert!(now.is_ok(), "{}", log());
    }
    assert!(operator.terminate().await.unwrap());
    door.close().await;
}

/// What the API server answers at a path, as text.
async fn raw(client: &Client, path: &str) -> String {
    let request = axum::http::Request::get(path).body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap()
}

#[tokio::test]
async fn tokens_of_another_cluster_are_verified_with_its_published_keys() {
    let client = connect().await.unwrap();
    let keys = raw(&client, "/openid/v1/jwks").await;
    let about: Value =
        serde_json::from_str(&raw(&client, "/.well-known/openid-configuration").await).unwrap();
    let issuer = about["issuer"].as_str().unwrap().to_owned();
    let namespace = "kidp-e2e-door-jwks";
    let policy = json!({"clients": [
        {"method": "jwt", "name": format!("system:serviceaccount:{namespace}:operator"),
            "namespaces": [namespace], "verbs": ["read"]}]});
    let flags = [
        "--jwks-file",
        "{}/jwks.json",
        "--jwks-issuer",
        &issuer,
        "--jwks-audience",
        AUDIENCE,
        "--authorization-file",
        "{}/policy.json",
    ];
    let files = [("jwks.json", keys), ("policy.json", policy.to_string())];
    let door = Door::open("jwks", &flags, &files).await;
    let path = format!("/v1/resources?namespace={namespace}");
    for (account, audience, code) in [
        ("operator", Some(AUDIENCE), 200),
        ("operator", Some("another"), 401),
        ("operator", None, 401),
        ("stranger", Some(AUDIENCE), 403),
    ] {
        let token = door.token(account, audience).await;
        let (status, body) = door.get(&path, Some(&token)).await;
        assert_eq!(status, code, "{account} {audience:?}: {body}\n{}", door.log());
    }
    door.close().await;
}

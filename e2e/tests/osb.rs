//! The Open Service Broker API from the catalog to nothing left, as a platform uses it: a broker alone, without operator.
//! Each engine that binds gets an instance, a login of its own that a client uses, and loses both.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::time::Duration;

use kidp_core::crd::{ServiceBinding, ServiceInstance};
use kidp_core::names::base_name;
use kidp_e2e::client::{Seat, run_as};
use kidp_e2e::cluster::{connect, create_namespace, delete_namespace, install_crds, purge};
use kidp_e2e::process::{Process, binaries, free_port};
use kidp_e2e::wait::{Seen, until};
use kidp_e2e::{Error, leaks};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use reqwest::Method;
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-osb";
const LIMIT: Duration = Duration::from_mins(4);
const BINDING: &str = "binding-1";

/// How a client of an engine writes something, and reads it again, with the login under `/binding`.
struct Usage {
    service: &'static str,
    version: &'static str,
    image: &'static str,
    write: &'static str,
    read: &'static str,
    /// What the client says of a login that is gone.
    refusal: &'static str,
}

const POSTGRESQL: Usage = Usage {
    service: "postgresql-database",
    version: "15",
    image: "docker.io/library/postgres:15",
    write: "export PGCONNECT_TIMEOUT=5; psql \"$(cat /binding/uri)\" -qAtX -v ON_ERROR_STOP=1 \
            -c 'create table if not exists kept (text text)' -c \"insert into kept values ('orders')\"",
    read: "export PGCONNECT_TIMEOUT=5; psql \"$(cat /binding/uri)\" -qAtX -c 'select distinct text from kept'",
    refusal: "password authentication failed",
};

const MYSQL: Usage = Usage {
    service: "mysql-database",
    version: "9",
    image: "docker.io/library/mysql:9",
    write: "umask 0077; for key in host port user=username password; do \
            echo \"${key%=*}=$(cat \"/binding/${key#*=}\")\"; done | sed '1i [client]' > /tmp/c.cnf; \
            mysql --defaults-file=/tmp/c.cnf -D \"$(cat /binding/database)\" -NBe \
            \"create table if not exists kept (text text); insert into kept values ('orders')\"",
    read: "umask 0077; for key in host port user=username password; do \
           echo \"${key%=*}=$(cat \"/binding/${key#*=}\")\"; done | sed '1i [client]' > /tmp/c.cnf; \
           mysql --defaults-file=/tmp/c.cnf -D \"$(cat /binding/database)\" -NBe 'select distinct text from kept'",
    refusal: "Access denied",
};

/// A login is enough: what a client does with it, `engines` shows.
const RABBITMQ: Usage = Usage {
    service: "rabbitmq-message-queue",
    version: "4",
    image: "docker.io/library/rabbitmq:4",
    write: LOG_IN,
    read: LOG_IN,
    refusal: "auth_failure",
};

/// Erlang's AMQP client, which the image carries.
const LOG_IN: &str = r#"
cat > /tmp/client.escript <<'END'
#!/usr/bin/env escript
%%! -noinput
main(_) ->
    ok = code:add_pathsa(filelib:wildcard("/opt/rabbitmq/plugins/*/ebin")),
    {ok, _} = application:ensure_all_started(amqp_client),
    {module, _} = code:ensure_loaded(amqp_auth_mechanisms),
    {ok, Uri} = file:read_file("/binding/uri"),
    {ok, Params} = amqp_uri:parse(binary_to_list(Uri)),
    {ok, Connection} = amqp_connection:start(Params),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    Declare = {'queue.declare', 0, <<"kept">>, false, true, false, false, false, []},
    {'queue.declare_ok', _, _, _} = amqp_channel:call(Channel, Declare),
    ok = amqp_connection:close(Connection),
    io:format("orders~n"),
    halt(0).
END
escript /tmp/client.escript > /tmp/said || { cat /tmp/said; exit 1; }
tail -n 1 /tmp/said
"#;

/// A broker and who asks it.
struct Platform {
    client: Client,
    namespace: String,
    broker: Option<Process>,
    url: String,
    folder: tempfile::TempDir,
}

impl Platform {
    async fn start(suffix: &str) -> Self {
        let client = connect().await.unwrap();
        let namespace = format!("{NAMESPACE}-{suffix}");
        install_crds(&client).await.unwrap();
        purge(&client, &namespace).await.unwrap();
        create_namespace(&client, &namespace).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let listen = format!("127.0.0.1:{port}");
        let arguments = [
            "--name",
            &namespace,
            "--namespace",
            &namespace,
            "--listen",
            &listen,
        ]
        .map(str::to_owned);
        let kubeconfig = std::env::var_os("KUBECONFIG").map(PathBuf::from).unwrap();
        let broker = Process::start(
            &binaries().unwrap().join("kidp-broker"),
            &kubeconfig,
            &arguments,
            &folder.path().join("broker.log"),
            &format!("{url}/readiness"),
        )
        .await
        .unwrap();
        Self {
            client,
            namespace,
            broker: Some(broker),
            url,
            folder,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("broker.log")).unwrap()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = reqwest::Client::new()
            .request(method, format!("{}/v2/{path}", self.url))
            .header("X-Broker-API-Version", "2.17")
            .timeout(Duration::from_secs(20));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    /// Polls until the operation has ended; the status of the last answer.
    async fn poll(&self, path: &str, operation: &str) -> u16 {
        let path = format!("{path}/last_operation?operation={operation}");
        let what = format!("{operation} to end");
        let ended = until(&what, LIMIT, async || {
            let (status, body) = self.ask(Method::GET, &path, None).await;
            Ok(match body["state"].as_str() {
                Some("in progress") => Seen::NotYet(body.to_string()),
                Some("failed") => panic!("{operation}: {body}\n{}", self.log()),
                _ => Seen::Done(status),
            })
        });
        ended
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Ends the broker as a kubelet does, and removes the namespace.
    async fn stop(mut self) {
        assert!(
            self.broker.take().unwrap().terminate().await.unwrap(),
            "ends with success"
        );
        delete_namespace(&self.client, &self.namespace).await.unwrap();
    }
}

/// Ids of the smallest plan of a service.
async fn smallest(platform: &Platform, service: &str) -> (String, String) {
    let (status, catalog) = platform.ask(Method::GET, "catalog", None).await;
    assert_eq!(status, 200);
    let services = catalog["services"].as_array().unwrap();
    let found = services.iter().find(|s| s["name"] == service).unwrap();
    assert_eq!(found["bindable"], true);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&found["id"]), text(&found["plans"][0]["id"]))
}

async fn whole_life(suffix: &str, usage: Usage) {
    let platform = Platform::start(suffix).await;
    let (service, plan) = smallest(&platform, usage.service).await;
    let instance = format!("service_instances/{suffix}-1");
    let binding = format!("{instance}/service_bindings/{BINDING}");
    let removal = format!("accepts_incomplete=true&service_id={service}&plan_id={plan}");
    let wanted = json!({"service_id": service, "plan_id": plan, "organization_guid": "o", "space_guid": "s",
        "context": {"platform": "kubernetes", "namespace": platform.namespace},
        "parameters": {"version": usage.version, "storage": {"size": "1Gi"}}});
    let later = "accepts_incomplete=true";

    // Provision: 202, and 200 when it is there.
    let put = |path: &str| format!("{path}?{later}");
    let (status, body) = platform.ask(Method::PUT, &put(&instance), Some(&wanted)).await;
    assert_eq!(
        (status, body["operation"].as_str()),
        (202, Some("provision")),
        "{body}"
    );
    assert_eq!(platform.poll(&instance, "provision").await, 200);
    let (status, _) = platform.ask(Method::PUT, &put(&instance), Some(&wanted)).await;
    assert_eq!(status, 200);
    let (status, body) = platform.ask(Method::GET, &instance, None).await;
    assert_eq!((status, &body["plan_id"]), (200, &json!(plan)));

    // Bind: a login of its own, the same one at a repeat.
    let ids = json!({"service_id": service, "plan_id": plan, "bind_resource": {"app_guid": "shop"}});
    let (status, body) = platform.ask(Method::PUT, &put(&binding), Some(&ids)).await;
    assert_eq!(
        (status, body["operation"].as_str()),
        (202, Some("bind")),
        "{body}"
    );
    assert_eq!(platform.poll(&binding, "bind").await, 200);
    let (status, login) = platform.ask(Method::GET, &binding, None).await;
    assert_eq!(status, 200);
    let (status, again) = platform.ask(Method::PUT, &put(&binding), Some(&ids)).await;
    assert_eq!((status, &again), (200, &login));
    let password = login["credentials"]["password"].as_str().unwrap().to_owned();
    let seat = seat(&platform, &usage).await;
    run_as(&platform.client, &seat, usage.write, "").await.unwrap();
    assert_eq!(
        run_as(&platform.client, &seat, usage.read, "").await.unwrap(),
        "orders"
    );

    // What is bound is not removed.
    let (status, _) = platform
        .ask(Method::DELETE, &format!("{instance}?{removal}"), None)
        .await;
    assert_eq!(status, 400);

    // The password is where it belongs, and nowhere else.
    let log = platform.folder.path().join("broker.log");
    let found = leaks::find(&platform.client, &[&platform.namespace], &[log], &password)
        .await
        .unwrap();
    assert_eq!(found, Vec::<String>::new());

    // Unbind: the login is refused, with its password kept aside.
    keep_login(&platform, &seat).await;
    let (status, _) = platform
        .ask(Method::DELETE, &format!("{binding}?{removal}"), None)
        .await;
    assert_eq!(status, 202);
    assert_eq!(platform.poll(&binding, "unbind").await, 410);
    let stale = Seat {
        secret: KEPT.to_owned(),
        ..seat.clone()
    };
    let refused = run_as(&platform.client, &stale, usage.read, "").await;
    assert!(
        matches!(&refused, Err(Error::PodFailed { output, .. }) if output.contains(usage.refusal)),
        "{refused:?}"
    );
    // The data that came over it stays: the next login finds it.
    let (status, _) = platform.ask(Method::PUT, &put(&binding), Some(&ids)).await;
    assert_eq!(status, 202);
    assert_eq!(platform.poll(&binding, "bind").await, 200);
    assert_eq!(
        run_as(&platform.client, &seat, usage.read, "").await.unwrap(),
        "orders"
    );

    // Deprovision past the API takes the binding along.
    deprovision(&platform, &instance, &removal).await;
    platform.stop().await;
}

/// Removes the record as `kubectl delete` does: binding and instance go, and the API says so.
async fn deprovision(platform: &Platform, instance: &str, removal: &str) {
    let records: Api<ServiceInstance> = Api::namespaced(platform.client.clone(), &platform.namespace);
    let record = records
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    records
        .delete(&record.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(platform.poll(instance, "deprovision").await, 410);
    let (status, _) = platform
        .ask(Method::DELETE, &format!("{instance}?{removal}"), None)
        .await;
    assert_eq!(status, 410);
    let bindings: Api<ServiceBinding> = Api::namespaced(platform.client.clone(), &platform.namespace);
    assert!(
        bindings
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

/// A client with the binding's login.
async fn seat(platform: &Platform, usage: &Usage) -> Seat {
    let records: Api<ServiceInstance> = Api::namespaced(platform.client.clone(), &platform.namespace);
    let spec = records
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0)
        .spec;
    let bindings: Api<ServiceBinding> = Api::namespaced(platform.client.clone(), &platform.namespace);
    let binding = bindings
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    Seat {
        namespace: platform.namespace.clone(),
        base: base_name(&spec.resource_name, spec.instance.engine.as_str()),
        image: usage.image.to_owned(),
        secret: binding.status.unwrap().binding.unwrap().name,
    }
}

/// A copy of a login that outlives its binding.
const KEPT: &str = "kept-login";

async fn keep_login(platform: &Platform, seat: &Seat) {
    use k8s_openapi::api::core::v1::Secret;
    let secrets: Api<Secret> = Api::namespaced(platform.client.clone(), &platform.namespace);
    let data = secrets.get(&seat.secret).await.unwrap().data;
    let mut copy = Secret {
        data,
        ..Secret::default()
    };
    copy.metadata.name = Some(KEPT.to_owned());
    secrets
        .create(&kube::api::PostParams::default(), &copy)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql() {
    whole_life("postgresql", POSTGRESQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    whole_life("mysql", MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq() {
    whole_life("rabbitmq", RABBITMQ).await;
}

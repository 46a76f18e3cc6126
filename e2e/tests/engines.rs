//! Every engine behind its kind: from the object to a real client that writes and reads through the connection
//! Secret, over a restart and a resize, to nothing left.
//!
//! The SDK's own tests do the same without operator and broker. Here it is one reconciler that takes three kinds
//! through it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kidp_core::crd::{BrokerPhase, Cache, Database, MessageQueue, ServiceResource, Team, TeamStatus};
use kidp_e2e::client::{base_of, run};
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::fixtures::{begin, cache, create, offer_every_engine, queue, resource, wait_clean, wait_ready};
use kidp_e2e::host::Platform;
use kidp_e2e::leaks;
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// How a client of an engine writes something, and reads it again: shell, run in the engine's own image.
struct Usage {
    /// What both need.
    prelude: &'static str,
    write: &'static str,
    read: &'static str,
    /// The server's process, if the official image's entrypoint exports to it the password that it was given as a
    /// file. Only who can read that file anyway can read it there.
    exported_to: Option<&'static str>,
}

/// What every engine is to give back.
const KEPT: &str = "orders";

const REDIS: Usage = Usage {
    prelude: r#"
ask() {
    REDISCLI_AUTH="$(cat /binding/password)" redis-cli -e -h "$(cat /binding/host)" -p "$(cat /binding/port)" \
        --user "$(cat /binding/username)" "$@"
}"#,
    write: "ask set kept orders",
    read: "ask get kept",
    exported_to: None,
};

const MYSQL: Usage = Usage {
    prelude: r#"
umask 0077
for key in host port user=username password; do
    echo "${key%=*}=$(cat "/binding/${key#*=}")"
done | sed '1i [client]' > /tmp/client.cnf
ask() { mysql --defaults-file=/tmp/client.cnf -D "$(cat /binding/database)" -NBe "$1"; }"#,
    write: "ask \"create table kept (text text); insert into kept values ('orders')\"",
    read: "ask 'select text from kept'",
    exported_to: Some("mysqld"),
};

const MONGODB: Usage = Usage {
    prelude: r#"ask() { mongosh --quiet --norc "$(cat /binding/uri)" --eval "$1"; }"#,
    write: "ask 'db.kept.insertOne({_id: 1, text: \"orders\"})'",
    read: "ask 'print(db.kept.findOne({_id: 1}).text)'",
    exported_to: None,
};

/// Erlang's AMQP client, which the image carries. Records are written out, so that no header is needed. The message is
/// put back after it was read, since it is read more than once.
const RABBITMQ: Usage = Usage {
    prelude: r#"
cat > /tmp/client.escript <<'END'
#!/usr/bin/env escript
%%! -noinput
main([Action]) ->
    ok = code:add_pathsa(filelib:wildcard("/opt/rabbitmq/plugins/*/ebin")),
    {ok, _} = application:ensure_all_started(amqp_client),
    {module, _} = code:ensure_loaded(amqp_auth_mechanisms),
    {ok, Uri} = file:read_file("/binding/uri"),
    {ok, Params} = amqp_uri:parse(binary_to_list(Uri)),
    {ok, Connection} = amqp_connection:start(Params),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    Declare = {'queue.declare', 0, <<"kept">>, false, true, false, false, false, []},
    {'queue.declare_ok', _, _, _} = amqp_channel:call(Channel, Declare),
    act(Action, Channel),
    ok = amqp_connection:close(Connection),
    halt(0).
act("write", Channel) ->
    {'confirm.select_ok'} = amqp_channel:call(Channel, {'confirm.select', false}),
    Durable = {'P_basic', undefined, undefined, undefined, 2, undefined, undefined, undefined, undefined, undefined,
        undefined, undefined, undefined, undefined, undefined},
    Publish = {'basic.publish', 0, <<>>, <<"kept">>, false, false},
    ok = amqp_channel:call(Channel, Publish, {amqp_msg, Durable, <<"orders">>}),
    true = amqp_channel:wait_for_confirms(Channel, 30);
act("read", Channel) ->
    Get = {'basic.get', 0, <<"kept">>, false},
    {{'basic.get_ok', Tag, _, _, _, _}, {amqp_msg, _, Text}} = amqp_channel:call(Channel, Get),
    ok = amqp_channel:call(Channel, {'basic.reject', Tag, true}),
    io:format("~s~n", [Text]).
END
ask() { escript /tmp/client.escript "$1"; }"#,
    write: "ask write",
    // Beside the text there are warnings of the script's compiler.
    read: "ask read | tail -n 1",
    exported_to: None,
};

/// An operator and a broker that offers everything, with one resource.
struct Life<K> {
    client: Client,
    namespace: String,
    platform: Platform,
    resource: K,
    usage: Usage,
}

impl<K: ServiceResource> Life<K> {
    async fn start(usage: Usage, make: impl Fn(&str) -> kidp_e2e::Result<K>) -> Self {
        let sample = make("").unwrap();
        let kind = K::TYPE.as_str().to_lowercase();
        let namespace = format!("kidp-e2e-{kind}-{}", sample.engine());
        let client = begin(&namespace).await.unwrap();
        let broker = format!("{namespace}-broker");
        let platform = Platform::start(&client, &broker, &namespace).await.unwrap();
        offer_every_engine(&client, &broker, &broker).await.unwrap();
        platform.wait_broker(BrokerPhase::Ready).await.unwrap();
        let resource = make(&namespace).unwrap();
        Self {
            client,
            namespace,
            platform,
            resource,
            usage,
        }
    }

    /// Unwraps a result, with both logs in the report.
    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.log_tails()))
    }

    fn api(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn ready(&self) -> K {
        self.must(wait_ready(&self.client, &self.namespace, &self.resource.name_any()).await)
    }

    async fn ask(&self, ready: &K, what: &str) -> String {
        let script = format!("{}\n{what}", self.usage.prelude);
        self.must(run(&self.client, ready, &script, "client").await)
    }

    async fn still_there(&self, ready: &K) {
        assert_eq!(self.ask(ready, self.usage.read).await, KEPT);
    }

    /// Deletes the pod, and waits for the one that takes its place.
    async fn restart(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{}-0", base_of(&self.resource));
        let before = pods.get(&name).await.unwrap().uid();
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        let back = until("another pod to be ready", Duration::from_mins(3), async || {
            let pod = pods.get_opt(&name).await.unwrap();
            let ready = pod.as_ref().is_some_and(|pod| {
                let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
                pod.uid() != before
                    && conditions
                        .is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
            });
            Ok(if ready {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{:?}", pod.and_then(|p| p.status)))
            })
        });
        self.must(back.await);
    }

    async fn resize(&self) -> K {
        let patch = Patch::Merge(json!({"spec": {"size": "medium"}}));
        let name = self.resource.name_any();
        self.api()
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
        let resized = self.ready().await;
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let set = sets.get(&base_of(&self.resource)).await.unwrap();
        let pod = set.spec.unwrap().template.spec.unwrap();
        let limits = pod.containers[0].resources.clone().unwrap().limits.unwrap();
        assert_eq!(limits["memory"].0, "4Gi");
        resized
    }

    /// Waits until the team counts this many.
    async fn counted(&self, expected: [u32; 3]) {
        let teams: Api<Team> = Api::namespaced(self.client.clone(), &self.namespace);
        let counts = |s: TeamStatus| [s.databases, s.caches, s.message_queues];
        let seen = until("the team's counts", Duration::from_secs(30), async || {
            let status = teams.get("payments").await.unwrap().status.unwrap_or_default();
            let now = counts(status);
            Ok(if now == expected {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{now:?}"))
            })
        });
        self.must(seen.await);
    }

    async fn no_leak(&self, ready: &K) {
        let secret = ready.status().unwrap().connection_secret_ref.clone().unwrap();
        let password = self.must(leaks::password(&self.client, &self.namespace, &secret.name).await);
        assert_eq!(password.len(), 32);
        let namespaces = [self.namespace.as_str(), self.platform.namespace.as_str()];
        let found = leaks::find(&self.client, &namespaces, &self.platform.logs(), &password).await;
        let mut found = self.must(found);
        found.retain(|place| {
            let process = place
                .strip_suffix("/environ")
                .map(|process| format!("{process}/comm"));
            let name = process.and_then(|path| std::fs::read_to_string(path).ok());
            name.is_none() || name.as_deref().map(str::trim_end) != self.usage.exported_to
        });
        assert_eq!(found, Vec::<String>::new());
    }
}

/// One life; `counts` is what the team has meanwhile: databases, caches, message queues.
async fn lives<K: ServiceResource>(
    usage: Usage,
    counts: [u32; 3],
    make: impl Fn(&str) -> kidp_e2e::Result<K>,
) {
    let life = Life::start(usage, make).await;
    life.must(create(&life.client, &life.resource).await);
    let ready = life.ready().await;
    assert_eq!(ready.finalizers(), [K::FINALIZER]);
    life.counted(counts).await;
    life.ask(&ready, life.usage.write).await;
    life.still_there(&ready).await;

    life.restart().await;
    life.still_there(&ready).await;

    let resized = life.resize().await;
    life.still_there(&resized).await;
    life.no_leak(&resized).await;

    let name = life.resource.name_any();
    life.api().delete(&name, &DeleteParams::default()).await.unwrap();
    life.must(wait_clean::<K>(&life.client, &life.namespace, &name).await);
    life.counted([0; 3]).await;
    life.platform.stop().await.unwrap();
    delete_namespace(&life.client, &life.namespace).await.unwrap();
}

#[tokio::test]
async fn redis_as_a_cache() {
    lives::<Cache>(REDIS, [0, 1, 0], |namespace| cache(namespace, "orders")).await;
}

#[tokio::test]
async fn rabbitmq_as_a_message_queue() {
    lives::<MessageQueue>(RABBITMQ, [0, 0, 1], |namespace| queue(namespace, "orders")).await;
}

#[tokio::test]
async fn mysql_as_a_database() {
    lives::<Database>(MYSQL, [1, 0, 0], |namespace| {
        resource(namespace, "orders", "mysql", "9")
    })
    .await;
}

#[tokio::test]
async fn mongodb_as_a_database() {
    lives::<Database>(MONGODB, [1, 0, 0], |namespace| {
        resource(namespace, "orders", "mongodb", "7")
    })
    .await;
}

#[tokio::test]
async fn redis_as_a_database() {
    lives::<Database>(REDIS, [1, 0, 0], |namespace| {
        resource(namespace, "orders", "redis", "7")
    })
    .await;
}

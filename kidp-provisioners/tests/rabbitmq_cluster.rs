//! RabbitMQ on the cluster of `KUBECONFIG`, used through Erlang's AMQP client, which its image carries.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test rabbitmq_cluster
//! ```
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, eventually};
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::rabbitmq::Rabbitmq;
use kidp_provisioners::{ApplyError, Readiness};
use serde_json::json;

const IMAGE: &str = "docker.io/library/rabbitmq:4";
const UID: i64 = 999;

/// A client's script: `publish` makes the queue and waits for confirms; `consume` takes messages and acknowledges
/// them. Records are written out, so that no header is needed.
fn amqp(action: &str) -> String {
    format!(
        r#"
cat > /tmp/client.escript <<'END'
#!/usr/bin/env escript
%%! -noinput
-compile(nowarn_unused_function).
main(_) ->
    Paths = filelib:wildcard("/opt/rabbitmq/plugins/*/ebin"),
    ok = code:add_pathsa(Paths),
    {{ok, _}} = application:ensure_all_started(amqp_client),
    {{module, _}} = code:ensure_loaded(amqp_auth_mechanisms),
    {{ok, Uri}} = file:read_file("/binding/uri"),
    {{ok, Params}} = amqp_uri:parse(binary_to_list(Uri)),
    {{ok, Connection}} = amqp_connection:start(Params),
    {{ok, Channel}} = amqp_connection:open_channel(Connection),
    {action},
    ok = amqp_connection:close(Connection),
    halt(0).

declare(Channel, Queue) ->
    amqp_channel:call(Channel, {{'queue.declare', 0, Queue, false, true, false, false, false, []}}).

publish(Channel, Queue, Count) ->
    {{'queue.declare_ok', Queue, _, _}} = declare(Channel, Queue),
    {{'confirm.select_ok'}} = amqp_channel:call(Channel, {{'confirm.select', false}}),
    Props = {{'P_basic', undefined, undefined, undefined, 2, undefined, undefined, undefined, undefined, undefined,
        undefined, undefined, undefined, undefined, undefined}},
    [ok = amqp_channel:call(Channel, {{'basic.publish', 0, <<>>, Queue, false, false}},
        {{amqp_msg, Props, integer_to_binary(N)}}) || N <- lists:seq(1, Count)],
    true = amqp_channel:wait_for_confirms(Channel, 30),
    io:format("published ~b~n", [Count]).

consume(Channel, Queue, First, Last) ->
    {{'queue.declare_ok', Queue, _, _}} = declare(Channel, Queue),
    [begin
        Expected = integer_to_binary(N),
        {{{{'basic.get_ok', Tag, _, _, _, _}}, {{amqp_msg, _, Expected}}}} =
            amqp_channel:call(Channel, {{'basic.get', 0, Queue, false}}),
        ok = amqp_channel:call(Channel, {{'basic.ack', Tag, false}})
     end || N <- lists:seq(First, Last)],
    io:format("consumed ~b to ~b~n", [First, Last]).

%% What the management plugin says of a queue.
show(Queue) ->
    {{ok, _}} = application:ensure_all_started(inets),
    [Host, User, Password] = [begin {{ok, Text}} = file:read_file("/binding/" ++ Name), binary_to_list(Text) end
        || Name <- ["host", "username", "password"]],
    Login = "Basic " ++ base64:encode_to_string(User ++ ":" ++ Password),
    {{ok, {{{{_, 200, _}}, _, Body}}}} = httpc:request(get,
        {{"http://" ++ Host ++ ":15672/api/queues/%2F/" ++ Queue, [{{"authorization", Login}}]}}, [], []),
    io:format("~s~n", [Body]).
END
escript /tmp/client.escript
"#
    )
}

impl Bench {
    async fn amqp(&self, action: &str) -> String {
        self.client(IMAGE, UID, &amqp(action)).await
    }

    /// Whether a queue is replicated on three nodes.
    async fn is_replicated(&self, queue: &str) -> bool {
        let shown = self.amqp(&format!("show(\"{queue}\")")).await;
        // Beside it there are warnings of the script's compiler.
        let json = shown.lines().find(|line| line.starts_with('{')).unwrap();
        let shown: serde_json::Value = serde_json::from_str(json).unwrap();
        println!("{queue}: {} of {}", shown["type"], shown["members"]);
        shown["type"] == "quorum" && shown["members"].as_array().is_some_and(|m| m.len() == 3)
    }
}

#[tokio::test]
async fn messages_outlive_a_restart_a_resize_and_a_removal_that_retains() {
    let bench = Bench::new("rabbitmq", Box::new(Rabbitmq::default())).await;
    let first = bench.orders("4", "1", &json!({"deletionPolicy": "Retain"}));
    assert_eq!(bench.provision(&first).await.unwrap().len(), 7);
    bench.ready(&first).await;
    assert_eq!(bench.provision(&first).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &first).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    let publish = bench.amqp("publish(Channel, <<\"orders\">>, 100)").await;
    assert!(publish.contains("published 100"), "{publish}");

    bench.restart(0).await;
    bench.ready(&first).await;
    bench.amqp("consume(Channel, <<\"orders\">>, 1, 10)").await;
    bench.amqp("publish(Channel, <<\"later\">>, 20)").await;

    let resized = bench.orders(
        "4",
        "1",
        &json!({"deletionPolicy": "Retain", "size": "medium", "parameters": {"heartbeat": "30",
            "enabled_plugins": "rabbitmq_management"}}),
    );
    let written = bench.provision(&resized).await.unwrap();
    assert!(
        written.contains(&"StatefulSet/orders-rabbitmq".to_owned()),
        "{written:?}"
    );
    assert!(matches!(
        bench.readiness(&resized).await,
        Readiness::Progressing(_)
    ));
    bench.ready(&resized).await;
    bench.amqp("consume(Channel, <<\"later\">>, 1, 20)").await;

    let password = bench.secret().await["password"].clone();
    bench.amqp("publish(Channel, <<\"kept\">>, 30)").await;
    bench.remove(&resized, DeletionPolicy::Retain).await;
    assert_eq!(
        bench.leftovers().await,
        ["data-orders-rabbitmq-0", "orders-rabbitmq-connection"]
    );
    let second = bench.orders("4", "2", &json!({}));
    bench.provision(&second).await.unwrap();
    bench.ready(&second).await;
    assert_eq!(bench.secret().await["password"], password);
    let consumed = bench.amqp("consume(Channel, <<\"kept\">>, 1, 30)").await;
    assert!(consumed.contains("consumed 1 to 30"), "{consumed}");

    bench.remove(&second, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

/// Every accepted parameter at once: a name that the server does not know keeps it from starting.
#[tokio::test]
async fn a_node_starts_with_every_parameter() {
    use kidp_provisioners::engines::rabbitmq::{Kind, PARAMETERS};
    let parameters: serde_json::Map<_, _> = PARAMETERS
        .iter()
        .map(|parameter| {
            let value = match parameter.kind {
                Kind::Integer { min, .. } => min.max(100).to_string(),
                Kind::Real { max, .. } => max.to_string(),
                Kind::Memory { .. } => "100MiB".to_owned(),
                Kind::Choice(words) => words[words.len() - 1].to_owned(),
                Kind::List(words) => words.join(", "),
                other => panic!("{other:?}"),
            };
            (parameter.name.to_owned(), json!(value))
        })
        .collect();
    let bench = Bench::new("rabbitmq-all", Box::new(Rabbitmq::default())).await;
    let orders = bench.orders("4", "1", &json!({"parameters": parameters}));
    bench.provision(&orders).await.unwrap();
    bench.ready(&orders).await;
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

#[tokio::test]
async fn one_node_becomes_three_and_loses_any_one_without_a_message() {
    let bench = Bench::new("rabbitmq-ha", Box::new(Rabbitmq::default())).await;
    let plugin = json!({"enabled_plugins": "rabbitmq_management"});
    let one = bench.orders("4", "1", &json!({"parameters": plugin}));
    bench.provision(&one).await.unwrap();
    bench.ready(&one).await;
    bench.amqp("publish(Channel, <<\"before\">>, 10)").await;

    let three = bench.orders("4", "1", &json!({"highAvailability": true, "parameters": plugin}));
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    bench.amqp("publish(Channel, <<\"events\">>, 300)").await;

    assert!(bench.is_replicated("events").await);
    eventually("replicated", || bench.is_replicated("before")).await;

    // Without a farewell, as when a node of the cluster is lost. The other two go on at once.
    for ordinal in 0..3 {
        let name = format!("orders-rabbitmq-{ordinal}");
        let now = kube::api::DeleteParams::default().grace_period(0);
        bench
            .api::<k8s_openapi::api::core::v1::Pod>()
            .delete(&name, &now)
            .await
            .unwrap();
        let (first, last) = (ordinal * 100 + 1, ordinal * 100 + 100);
        let taken = bench
            .amqp(&format!("consume(Channel, <<\"events\">>, {first}, {last})"))
            .await;
        assert!(taken.contains(&format!("consumed {first} to {last}")), "{taken}");
        bench.ready(&three).await;
    }
    bench.amqp("consume(Channel, <<\"before\">>, 1, 10)").await;

    // What is left would be one of three, without a majority.
    let fewer = bench.provision(&one).await;
    assert!(
        matches!(fewer, Err(ApplyError::MembersShrink { from: 3, to: 1, .. })),
        "{fewer:?}"
    );
    eventually("quiet", || async {
        bench.provision(&three).await.unwrap().is_empty()
    })
    .await;

    // A change of the configuration takes the nodes one after the other, each after it has handed over.
    bench.amqp("publish(Channel, <<\"rolled\">>, 20)").await;
    let changed = json!({"enabled_plugins": "rabbitmq_management", "heartbeat": "30"});
    let changed = json!({"highAvailability": true, "parameters": changed});
    let three = bench.orders("4", "1", &changed);
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    bench.amqp("consume(Channel, <<\"rolled\">>, 1, 10)").await;

    // Data of three is taken over by three alone.
    bench.remove(&three, DeletionPolicy::Retain).await;
    let fewer = bench.provision(&bench.orders("4", "2", &json!({}))).await;
    assert!(
        matches!(fewer, Err(ApplyError::MembersShrink { .. })),
        "{fewer:?}"
    );
    let three = bench.orders("4", "2", &changed);
    bench.provision(&three).await.unwrap();
    bench.ready(&three).await;
    bench.amqp("consume(Channel, <<\"rolled\">>, 11, 20)").await;
    bench.remove(&three, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

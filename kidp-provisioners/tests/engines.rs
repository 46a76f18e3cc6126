//! Every engine on the cluster of `KUBECONFIG`, used by its own client through its Secret.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test engines
//! ```
//! One life for all: written, restarted, resized, removed and adopted again, and what was written is read each time.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/bench.rs"]
mod bench;

use std::collections::BTreeMap;

use bench::{Bench, eventually};
use k8s_openapi::api::core::v1::Pod;
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::engines::mysql::{self, Mysql};
use kidp_provisioners::engines::parameters::{Kind, Parameter};
use kidp_provisioners::engines::postgresql::{self, Postgresql};
use kidp_provisioners::engines::redis::{self, Redis};
use kidp_provisioners::{Provisioner, Readiness};
use kube::ResourceExt;
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};

/// How an engine is used by its client.
struct Usage {
    version: &'static str,
    image: &'static str,
    uid: i64,
    /// Defines `ask`, which runs a statement with the credentials of `/binding`.
    ask: &'static str,
    /// Writes what `read` answers.
    write: &'static str,
    read: &'static str,
    answer: &'static str,
    /// A parameter, its value, and how it is asked for; the answer is the value.
    parameter: (&'static str, &'static str),
    shown: Option<(&'static str, &'static str)>,
}

const POSTGRESQL: Usage = Usage {
    version: "15",
    image: "docker.io/library/postgres:15",
    uid: 999,
    ask: r#"ask() { psql "$(cat /binding/uri)" -v ON_ERROR_STOP=1 -qtAXc "$*"; }"#,
    write: "create table kept (id int primary key, text text); insert into kept values (1, 'orders')",
    read: "select text from kept where id = 1",
    answer: "orders",
    parameter: ("work_mem", "8MB"),
    shown: Some(("show work_mem", "8MB")),
};

const MYSQL: Usage = Usage {
    version: "9",
    image: "docker.io/library/mysql:9",
    uid: 999,
    ask: r#"
umask 0077
for key in host port user=username password; do
    echo "${key%=*}=$(cat "/binding/${key#*=}")"
done | sed '1i [client]' > /tmp/client.cnf
ask() { mysql --defaults-file=/tmp/client.cnf -D "$(cat /binding/database)" -NBe "$*"; }"#,
    write: "create table kept (id int primary key, text text); insert into kept values (1, 'orders')",
    read: "select text from kept where id = 1",
    answer: "orders",
    parameter: ("max_connections", "77"),
    shown: Some(("select @@max_connections", "77")),
};

const REDIS: Usage = Usage {
    version: "7",
    image: "docker.io/library/redis:7",
    uid: 999,
    ask: r#"
ask() {
    REDISCLI_AUTH="$(cat /binding/password)" redis-cli -e -h "$(cat /binding/host)" -p "$(cat /binding/port)" \
        --user "$(cat /binding/username)" "$@"
}"#,
    write: "set kept orders",
    read: "get kept",
    answer: "orders",
    parameter: ("maxmemory", "100mb"),
    shown: Some(("info memory", "maxmemory:104857600")),
};

const REDIS_8: Usage = Usage {
    version: "8",
    image: "docker.io/library/redis:8",
    ..REDIS
};

impl Bench {
    /// Runs a statement as a client, and answers what it prints.
    async fn ask(&self, usage: &Usage, statement: &str) -> String {
        // Statements of SQL are one argument, commands of Redis are several.
        let statement = if usage.image.contains("redis") {
            statement.to_owned()
        } else {
            format!("\"{statement}\"")
        };
        let script = format!("{}\nask {statement}", usage.ask);
        self.client(usage.image, usage.uid, &script).await
    }

    async fn still_there(&self, usage: &Usage) {
        assert_eq!(self.ask(usage, usage.read).await.trim(), usage.answer);
    }
}

async fn lives(test: &str, engine: Box<dyn Provisioner>, usage: &Usage) {
    let bench = Bench::new(test, engine).await;
    let retained = |extra: &Value| {
        let mut merged = json!({"deletionPolicy": "Retain"});
        let extra = extra.as_object().cloned().unwrap();
        merged.as_object_mut().unwrap().extend(extra);
        bench.orders(usage.version, "1", &merged)
    };
    let first = retained(&json!({}));
    bench.provision(&first).await.unwrap();
    bench.ready(&first).await;
    assert_eq!(bench.provision(&first).await.unwrap(), [""; 0]);
    assert_eq!(
        bench.engine.drift(&bench.client, &first).await.unwrap(),
        kidp_provisioners::Drift::default()
    );
    bench.ask(usage, usage.write).await;
    bench.still_there(usage).await;

    bench.restart(0).await;
    bench.ready(&first).await;
    bench.still_there(usage).await;

    let resized = retained(&json!({"size": "medium"}));
    bench.provision(&resized).await.unwrap();
    // The old pod is still ready: that does not count.
    assert!(matches!(
        bench.readiness(&resized).await,
        Readiness::Progressing(_)
    ));
    bench.ready(&resized).await;
    bench.still_there(usage).await;

    let (name, value) = usage.parameter;
    let tuned = retained(&json!({"size": "medium", "parameters": {name: value}}));
    bench.provision(&tuned).await.unwrap();
    bench.ready(&tuned).await;
    if let Some((question, answer)) = usage.shown {
        let shown = bench.ask(usage, question).await;
        assert!(shown.contains(answer), "{shown}");
    }
    bench.still_there(usage).await;

    let password = bench.secret().await["password"].clone();
    bench.remove(&tuned, DeletionPolicy::Retain).await;
    let base = bench.base();
    assert_eq!(
        bench.leftovers().await,
        [format!("data-{base}-0"), format!("{base}-connection")]
    );

    let second = bench.orders(usage.version, "2", &json!({}));
    bench.provision(&second).await.unwrap();
    bench.ready(&second).await;
    assert_eq!(bench.secret().await["password"], password);
    bench.still_there(usage).await;

    bench.remove(&second, DeletionPolicy::Delete).await;
    assert_eq!(bench.leftovers().await, [""; 0]);
    bench.finish().await;
}

#[tokio::test]
async fn postgresql() {
    lives("engine-postgresql", Box::new(Postgresql::default()), &POSTGRESQL).await;
}

#[tokio::test]
async fn mysql() {
    lives("engine-mysql", Box::new(Mysql::default()), &MYSQL).await;
}

#[tokio::test]
async fn redis_as_a_database() {
    lives("engine-redis", Box::new(Redis::database()), &REDIS).await;
}

#[tokio::test]
async fn redis_as_a_cache() {
    lives("engine-cache", Box::new(Redis::cache()), &REDIS_8).await;
}

/// The smallest or the largest value of a parameter.
fn extreme(kind: Kind, largest: bool) -> String {
    let pick = |min: String, max: String| if largest { max } else { min };
    match kind {
        Kind::Integer { min, max } => pick(min.to_string(), max.to_string()),
        Kind::Real { min, max } => pick(min.to_string(), max.to_string()),
        Kind::Memory { min, max, units, .. } => pick(units.shown(min), units.shown(max)),
        Kind::Duration { min, max, .. } => pick(format!("{min}ms"), format!("{max}ms")),
        Kind::Bool => pick("off".to_owned(), "on".to_owned()),
        Kind::Choice(words) => pick(words[0].to_owned(), words[words.len() - 1].to_owned()),
        Kind::List(words) => pick(words[0].to_owned(), words.join(",")),
        Kind::TimeZone => pick("UTC".to_owned(), "Europe/Berlin".to_owned()),
        Kind::Letters(letters) => pick(String::new(), letters.to_owned()),
        Kind::Numbers(group) => pick(String::new(), "999 ".repeat(group)),
    }
}

/// A server starts with every accepted parameter at its smallest and at its largest value: the list has no name that
/// a version does not know, and no range that it refuses. `apart` are left out, since they do not go together.
async fn starts_with_extremes(
    test: &str,
    engine: Box<dyn Provisioner>,
    version: &str,
    parameters: &[Parameter],
    apart: &[&str],
) {
    let bench = Bench::new(test, engine).await;
    for largest in [false, true] {
        let wanted = |values: &BTreeMap<&str, String>| {
            bench.orders(
                version,
                "1",
                &json!({"size": "large", "storage": {"size": "4Gi"}, "parameters": values}),
            )
        };
        let mut values: BTreeMap<&str, String> = parameters
            .iter()
            .filter(|p| !apart.contains(&p.name))
            .map(|p| (p.name, extreme(p.kind, largest)))
            .collect();
        // What is in range but does not fit the size is refused, and tested elsewhere.
        let faults = bench.engine.validate(&wanted(&values)).err().unwrap_or_default();
        for fault in faults {
            assert!(fault.message.contains("does not fit size"), "{fault:?}");
            values.remove(fault.field.trim_start_matches("spec.parameters."));
        }
        println!("{} parameters, largest: {largest}", values.len());
        let instance = wanted(&values);
        bench.provision(&instance).await.unwrap();
        eventually("ready or failed", || async {
            match bench.readiness(&instance).await {
                Readiness::Ready => true,
                Readiness::Progressing(_) => {
                    let pods = bench.api::<Pod>();
                    let pod = pods.get_opt(&format!("{}-0", bench.base())).await.unwrap();
                    let status = pod.and_then(|pod| pod.status?.container_statuses);
                    let calm = status.unwrap_or_default().iter().all(|c| c.restart_count == 0);
                    assert!(calm, "{}", bench.last_log().await);
                    false
                }
                Readiness::Failed(_) => panic!("{}", bench.last_log().await),
            }
        })
        .await;
        bench.remove(&instance, DeletionPolicy::Delete).await;
    }
    bench.finish().await;
}

impl Bench {
    /// The log of the container that ended last.
    async fn last_log(&self) -> String {
        let params = LogParams {
            previous: true,
            ..LogParams::default()
        };
        let log = self
            .api::<Pod>()
            .logs(&self.pod(0).await.name_any(), &params)
            .await;
        log.unwrap_or_else(|error| error.to_string())
    }
}

#[tokio::test]
async fn postgresql_reads_every_parameter() {
    // Reserved connections have to be fewer than all, and shared memory is a product of the others.
    let apart = [
        "max_connections",
        "max_locks_per_transaction",
        "max_prepared_transactions",
        "max_wal_senders",
    ];
    let engine = Box::new(Postgresql::default());
    starts_with_extremes("read-postgresql", engine, "15", postgresql::PARAMETERS, &apart).await;
}

#[tokio::test]
async fn mysql_reads_every_parameter() {
    let engine = Box::new(Mysql::default());
    starts_with_extremes("read-mysql", engine, "9", mysql::PARAMETERS, &[]).await;
}

#[tokio::test]
async fn redis_7_reads_every_parameter() {
    let engine = Box::new(Redis::database());
    starts_with_extremes("read-redis-7", engine, "7", redis::PARAMETERS, &[]).await;
}

#[tokio::test]
async fn redis_8_reads_every_parameter() {
    let engine = Box::new(Redis::cache());
    starts_with_extremes("read-redis-8", engine, "8", redis::PARAMETERS, &[]).await;
}

#[tokio::test]
async fn clients_of_redis_use_data_and_not_the_server() {
    let bench = Bench::new("redis-rights", Box::new(Redis::cache())).await;
    let orders = bench.orders("8", "1", &json!({}));
    bench.provision(&orders).await.unwrap();
    bench.ready(&orders).await;
    let refused = |command: &str| format!("ask {command} && exit 1 || true");
    let commands = [
        "config set dir /tmp",
        "config get '*'",
        "acl list",
        "acl setuser other on nopass +@all",
        "replicaof 10.0.0.1 6379",
        "shutdown nosave",
        "module list",
        "migrate 10.0.0.1 6379 k 0 1",
        "bgsave",
    ]
    .map(refused)
    .join("\n");
    let script = format!(
        "{}\n{commands}\n\
         ask acl whoami; ask client setname x; ask info server > /dev/null; ask flushdb\n\
         REDISCLI_AUTH=wrong redis-cli -h \"$(cat /binding/host)\" ping\n\
         redis-cli -h \"$(cat /binding/host)\" ping\n\
         redis-cli -u \"$(cat /binding/uri)\" ping\n",
        REDIS_8.ask
    );
    let said = bench.client(REDIS_8.image, REDIS_8.uid, &script).await;
    println!("{said}");
    assert_eq!(said.matches("NOPERM").count(), 9, "{said}");
    assert!(said.contains("NOAUTH") && said.contains("PONG"), "{said}");
    assert!(said.lines().any(|line| line == "default"), "{said}");

    // Every write is there after a stop, though the log is flushed once a second.
    bench.ask(&REDIS_8, "set last word").await;
    bench.restart(0).await;
    bench.ready(&orders).await;
    assert_eq!(bench.ask(&REDIS_8, "get last").await.trim(), "word");
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_first_start_of_mysql_that_is_cut_off_is_made_anew() {
    let bench = Bench::new("mysql-cut-off", Box::new(Mysql::default())).await;
    let orders = bench.orders("9", "1", &json!({}));
    bench.provision(&orders).await.unwrap();
    let pods = bench.api::<Pod>();
    // Between the system tables and the user: the temporary server is up.
    eventually("initialising", || async {
        let log = pods.logs("orders-mysql-0", &LogParams::default()).await;
        log.is_ok_and(|log| log.contains("Starting temporary server"))
    })
    .await;
    let now = DeleteParams::default().grace_period(0);
    pods.delete("orders-mysql-0", &now).await.unwrap();
    bench.ready(&orders).await;
    bench.ask(&MYSQL, MYSQL.write).await;
    bench.still_there(&MYSQL).await;

    // Root is not for the network, and the application's rights end with its database.
    let script = format!(
        "{}\n\
         sed 's/^user=.*/user=root/' /tmp/client.cnf > /tmp/root.cnf\n\
         mysql --defaults-file=/tmp/root.cnf -NBe 'select 1' 2>&1 || true\n\
         ask 'create database other' 2>&1 || true\n\
         ask 'select user from mysql.user' 2>&1 || true\n",
        MYSQL.ask
    );
    let said = bench.client(MYSQL.image, MYSQL.uid, &script).await;
    println!("{said}");
    assert!(said.contains("ERROR 1045"), "{said}");
    assert!(
        said.contains("ERROR 1044") && said.contains("ERROR 1142"),
        "{said}"
    );
    bench.remove(&orders, DeletionPolicy::Delete).await;
    bench.finish().await;
}

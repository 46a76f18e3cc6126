//! A real Prometheus, with the rules of this checkout, on operator and broker while they provision a database: that it can read
//! what they show, that rules and dashboards find what they ask for, and that an exemplar leads to a trace that was sent.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kidp_core::crd::Database;
use kidp_core::names::base_name;
use kidp_core::trace::TraceParent;
use kidp_e2e::cluster::delete_namespace;
use kidp_e2e::collector::Collector;
use kidp_e2e::fixtures::{begin, create, database, wait_clean, wait_ready};
use kidp_e2e::host::{Options, Platform};
use kidp_e2e::pods::workspace;
use kidp_e2e::process::{binaries, free_port};
use kidp_e2e::prometheus::{Prometheus, Target};
use kidp_e2e::wait::{Seen, until};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const NAMESPACE: &str = "kidp-e2e-prometheus";
/// Longest until Prometheus, which looks every second, has what is there.
const LIMIT: Duration = Duration::from_mins(1);
/// Panels of the services that show nothing here: no resource waits, and there is no price book.
const EMPTY: [&str; 3] = [
    "Longest wait at present",
    "Estimated cost a month",
    "Services without a known cost",
];
/// Histograms that the way of a database from request to status goes through.
const ON_THE_WAY: [&str; 5] = [
    "kidp_operator_reconcile_duration_seconds",
    "kidp_operator_time_to_ready_seconds",
    "kidp_operator_broker_request_duration_seconds",
    "kidp_broker_http_request_duration_seconds",
    "kidp_broker_callback_latency_seconds",
];

struct Scene {
    client: Client,
    platform: Platform,
    collector: Collector,
    prometheus: Prometheus,
}

impl Scene {
    async fn start() -> Self {
        let client = begin(NAMESPACE).await.unwrap();
        let collector = Collector::start().await.unwrap();
        let broker_metrics = format!("127.0.0.1:{}", free_port().unwrap());
        let traced = format!("--otlp-endpoint={}", collector.url());
        let options = Options {
            operator: vec![traced.clone()],
            broker: vec![traced, format!("--metrics-listen={broker_metrics}")],
            ..Options::default()
        };
        let broker = format!("{NAMESPACE}-broker");
        let programs = binaries().unwrap();
        let platform = Platform::start_with(&client, &broker, NAMESPACE, &programs, options).await;
        let platform = platform.unwrap();
        let operator_metrics = platform.operator_metrics();
        let operator = Target {
            job: "kidp-operator",
            namespace: "kidp-system",
            address: &operator_metrics,
        };
        let broker = Target {
            job: "kidp-broker",
            namespace: "kidp-broker-local",
            address: &broker_metrics,
        };
        let prometheus = Prometheus::start(&[operator, broker]).await.unwrap();
        Self {
            client,
            platform,
            collector,
            prometheus,
        }
    }

    fn must<T>(&self, result: kidp_e2e::Result<T>) -> T {
        let logs = || format!("{}\n{}", self.platform.log_tails(), self.prometheus.log_tail());
        result.unwrap_or_else(|error| panic!("{error}\n{}", logs()))
    }

    /// Waits until each of these expressions has series.
    async fn have_series(&self, what: &str, expressions: &BTreeSet<String>) {
        assert!(!expressions.is_empty(), "{what}");
        let all = until(what, LIMIT, async || {
            let mut missing = Vec::new();
            for expression in expressions {
                if self.prometheus.query(expression).await?.is_empty() {
                    missing.push(expression);
                }
            }
            Ok(if missing.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("nothing of {missing:?}"))
            })
        });
        self.must(all.await);
    }

    /// Waits until every rule was evaluated. One that cannot be is not waited for.
    async fn rules_are_healthy(&self) {
        let evaluated = until("every rule to be evaluated", LIMIT, async || {
            let told = self.prometheus.ask("rules", &[]).await?;
            let groups = told["groups"].as_array().cloned().unwrap_or_default();
            let rules: Vec<_> = groups
                .iter()
                .filter_map(|g| g["rules"].as_array())
                .flatten()
                .collect();
            assert!(rules.iter().all(|rule| rule["health"] != "err"), "{told:#}");
            let is_well = |rule: &&&Value| rule["health"] == "ok";
            let well = rules.iter().filter(is_well).count();
            Ok(if well == rules.len() && well > 30 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{well} of {}", rules.len()))
            })
        });
        self.must(evaluated.await);
    }

    /// Waits until these histograms name this trace.
    async fn exemplars_arrive(&self, histograms: &[&str], trace: &str) {
        let arrived = until("exemplars of the trace", LIMIT, async || {
            let mut missing = Vec::new();
            for name in histograms {
                let series = format!("{name}_bucket");
                // From the epoch, as seconds, to long after this test.
                let asked = [("query", series.as_str()), ("start", "0"), ("end", "9999999999")];
                let told = self.prometheus.ask("query_exemplars", &asked).await?;
                if !told.to_string().contains(trace) {
                    missing.push(format!("{name}: {told}"));
                }
            }
            Ok(if missing.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(missing.join("\n"))
            })
        });
        self.must(arrived.await);
    }

    /// Changes an object of an instance, as somebody does by hand.
    async fn drift(&self, name: &str) {
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        let labels = json!({"app.kubernetes.io/part-of": "else"});
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let service = base_name(name, "postgresql");
        services
            .patch(&service, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn end(self) {
        assert!(
            self.prometheus.stop().await.unwrap(),
            "Prometheus ends with success"
        );
        self.platform.stop().await.unwrap();
        delete_namespace(&self.client, NAMESPACE).await.unwrap();
    }
}

/// The series of the programs that the recording rules, and by them the objectives, are made of.
fn recorded_from() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in ["operator", "broker"] {
        let path = workspace().join(format!("deploy/monitoring/rules/{part}.yaml"));
        let rules: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let groups = rules["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        for rule in rules.filter(|rule| rule["record"].is_string()) {
            let words = rule["expr"].as_str().unwrap();
            let words = words.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            found.extend(words.filter(|w| w.starts_with("kidp_")).map(str::to_owned));
        }
    }
    found
}

/// Title and expression of each target of a dashboard's panels.
fn panels(dashboard: &str) -> Vec<(String, String)> {
    let path = workspace().join(format!("deploy/monitoring/dashboards/{dashboard}.json"));
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let [title, expression] = [&panel["title"], &target["expr"]].map(|it| it.as_str().unwrap());
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn prometheus_reads_both_programs_and_rules_dashboards_and_exemplars_have_what_they_need() {
    let s = Scene::start().await;
    let up = ["kidp-operator", "kidp-broker"].map(|job| format!("up{{job=\"{job}\"}} == 1"));
    s.have_series("both to be scraped", &up.into()).await;
    s.must(create(&s.client, &database(NAMESPACE, "orders").unwrap()).await);
    let ready = s.must(wait_ready::<Database>(&s.client, NAMESPACE, "orders").await);
    // Before the broker has seen its own last write, what is changed is put back as part of that, and is no drift.
    let settled = "kidp_broker_reconcile_duration_seconds_count{operation=\"sweep\"}";
    s.have_series("a look at what is settled", &[settled.to_owned()].into())
        .await;
    s.drift("orders").await;

    s.have_series("what is recorded", &recorded_from()).await;
    s.rules_are_healthy().await;
    for dashboard in ["kidp-operator", "kidp-broker", "kidp-services"] {
        for (title, expression) in panels(dashboard) {
            let asked = s.prometheus.query(&expression).await;
            asked.unwrap_or_else(|error| panic!("{dashboard}, {title}: {error}"));
        }
    }
    let shown = panels("kidp-services").into_iter();
    let shown = shown.filter(|(title, _)| !EMPTY.contains(&title.as_str()));
    s.have_series("the panels of the services", &shown.map(|(_, e)| e).collect())
        .await;

    let root = TraceParent::of_generation(&ready.uid().unwrap(), 1);
    let trace = format!("{:032x}", root.trace_id());
    s.exemplars_arrive(&ON_THE_WAY, &trace).await;
    assert!(
        s.collector.has(root.trace_id().get()),
        "the trace that they name was sent"
    );

    let databases: Api<Database> = Api::namespaced(s.client.clone(), NAMESPACE);
    let deleted = databases.delete("orders", &DeleteParams::default()).await;
    deleted.unwrap();
    s.must(wait_clean::<Database>(&s.client, NAMESPACE, "orders").await);
    s.end().await;
}

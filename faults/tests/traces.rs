//! One trace through both programs: from the resource over the request, the broker's work and the callback to the status.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use kidp_core::trace::TraceParent;
use kidp_faults::{campaign, driver, scenario};
use kidp_telemetry::testing::{Recorded, Recording};
use serde_json::Value;

/// What is logged on the way, by which program.
const STEPS: [(&str, &str); 6] = [
    ("kidp_operator::resource", "provision sent"),
    ("kidp_broker::routes", "request recorded"),
    ("kidp_broker::controller", "applied"),
    ("kidp_broker::controller", "callback acknowledged"),
    ("kidp_operator::receiver", "callback received"),
    ("kidp_operator::resource", "status written"),
];

/// What both programs trace and log in the first scenario, which makes one database.
fn recorded() -> (Vec<Recorded>, Vec<Value>) {
    let recording = Recording::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let create = scenario::all().remove(0);
    let client = campaign::plain().unwrap();
    let run = driver::run(&create, &[], None, None, &client);
    let violations = runtime.block_on(run).violations;
    assert_eq!(violations, []);
    let lines = recording.lines();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    (recording.spans(), lines.collect())
}

fn is_step(line: &Value, (target, message): (&str, &str)) -> bool {
    let is_of = line["target"].as_str().is_some_and(|of| of.starts_with(target));
    is_of && line["fields"]["message"] == message
}

#[test]
fn one_trace_joins_the_lines_of_operator_broker_and_callback() {
    let (_, lines) = recorded();
    let mut traces = BTreeSet::new();
    for step in STEPS {
        let of_step: Vec<_> = lines.iter().filter(|line| is_step(line, step)).collect();
        assert!(!of_step.is_empty(), "{step:?}");
        traces.extend(
            of_step
                .iter()
                .map(|line| line["trace_id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(traces.len(), 1, "{traces:?}");
    let ready = |line: &&Value| is_step(line, STEPS[5]) && line["fields"]["phase"] == "Ready";
    assert_eq!(lines.iter().filter(ready).count(), 1);
}

#[test]
fn each_span_is_a_child_of_what_caused_it() {
    let (spans, _) = recorded();
    let look = spans.iter().find(|span| span.name == "reconcile").unwrap();
    let trace = look.at.trace_id();
    let is_of_it = |span: &Recorded| span.at.trace_id() == trace;
    let (spans, others): (Vec<_>, Vec<_>) = spans.into_iter().partition(is_of_it);
    // At the end the harness sends a callback of its own, which names no trace and so begins one.
    let is_probe = |span: &Recorded| (span.name.as_str(), span.parent) == ("callback", 0);
    assert!(others.len() == 1 && is_probe(&others[0]), "{others:?}");
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let below = |name: &'static str, parent: TraceParent| {
        let id = parent.span_id().get();
        named(name)
            .filter(move |span| span.parent == id)
            .collect::<Vec<_>>()
    };
    // The root is nobody's span, and the looks of the operator are its children.
    let ids: BTreeSet<_> = spans.iter().map(|span| span.at.span_id().get()).collect();
    let roots: BTreeSet<_> = spans
        .iter()
        .map(|span| span.parent)
        .filter(|id| !ids.contains(id))
        .collect();
    assert_eq!(roots.len(), 1, "{spans:?}");
    let looks = named("reconcile").filter(|span| roots.contains(&span.parent));
    let requests: Vec<_> = looks.flat_map(|look| below("request", look.at)).collect();
    // Of these, one was recorded: it has the broker's work and its callback below it.
    let recorded: Vec<_> = requests
        .into_iter()
        .filter(|request| !below("reconcile", request.at).is_empty())
        .collect();
    assert_eq!(recorded.len(), 1);
    let callbacks = below("callback", recorded[0].at);
    assert_eq!(callbacks.len(), 1);
    assert_eq!(
        below("callback", callbacks[0].at).len(),
        1,
        "as the operator received it"
    );
}

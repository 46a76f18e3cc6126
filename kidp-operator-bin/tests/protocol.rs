//! The protocol of operator and broker, as a model whose every reachable state is looked at.
//!
//! One resource is created, changed, deleted and created anew under its name, while requests are lost, doubled,
//! overtaken and delayed without limit, and operator and broker crash between any two steps. A change of leader is a
//! crash of the operator whose requests are still on their way. The steps are those of the programs; what they decide
//! is decided by the programs' own functions: `plan_step`, `plan_removal`, `record::decide`, `view::status`.
//!
//! Checked are properties of every state, and that from every state the goal can be reached by the protocol alone,
//! without faults and without a person, and is then kept whatever faults come. Broken variants show that the model can
//! tell.
#![allow(clippy::unwrap_used)]

#[path = "protocol/judge.rs"]
mod judge;
#[path = "protocol/model.rs"]
mod model;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Instant;

use model::{Action, Protocol, System, Variant};
use stateright::{Checker, HasDiscoveries, Model};

/// Every reachable state, and the ways between them.
struct Graph {
    states: Vec<System>,
    edges: Vec<Vec<(Action, usize)>>,
}

fn explore(model: &Protocol) -> Graph {
    let mut graph = Graph {
        states: model.init_states(),
        edges: Vec::new(),
    };
    let mut known: HashMap<System, usize> = graph
        .states
        .iter()
        .cloned()
        .enumerate()
        .map(|(i, s)| (s, i))
        .collect();
    while graph.edges.len() < graph.states.len() {
        let state = graph.states[graph.edges.len()].clone();
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let mut edges = Vec::new();
        for action in actions {
            let Some(next) = model.next_state(&state, action) else {
                continue;
            };
            let index = *known.entry(next.clone()).or_insert_with(|| {
                graph.states.push(next);
                graph.states.len() - 1
            });
            edges.push((action, index));
        }
        graph.edges.push(edges);
    }
    graph
}

/// How many states cannot reach one that `goal` holds for by the protocol's own steps.
fn stuck(graph: &Graph, goal: impl Fn(&System) -> bool) -> usize {
    let mut back = vec![Vec::new(); graph.states.len()];
    for (from, edges) in graph.edges.iter().enumerate() {
        for (_, to) in edges.iter().filter(|(action, _)| action.is_protocol()) {
            back[*to].push(from);
        }
    }
    let mut reaches: Vec<bool> = graph.states.iter().map(goal).collect();
    let mut queue: VecDeque<usize> = (0..reaches.len()).filter(|i| reaches[*i]).collect();
    while let Some(to) = queue.pop_front() {
        for from in &back[to] {
            if !reaches[*from] {
                reaches[*from] = true;
                queue.push_back(*from);
            }
        }
    }
    reaches.iter().filter(|reaches| !**reaches).count()
}

/// Steps out of the goal, other than by a person.
fn leaks(graph: &Graph) -> Vec<(System, Action)> {
    let mut leaks = Vec::new();
    for (state, edges) in graph.states.iter().zip(&graph.edges) {
        for (action, to) in edges.iter().filter(|(action, _)| !action.is_person()) {
            if state.is_settled() && !graph.states[*to].is_settled() {
                leaks.push((state.clone(), *action));
            }
        }
    }
    leaks
}

#[test]
fn the_protocol_is_safe_and_ends_where_it_should_from_everywhere() {
    let began = Instant::now();
    let checker = Protocol::new(Variant::AsBuilt)
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    checker.assert_properties();
    let graph = explore(&Protocol::new(Variant::AsBuilt));
    let ways: usize = graph.edges.iter().map(Vec::len).sum();
    let settled = graph.states.iter().filter(|state| state.is_settled()).count();
    println!(
        "{} states ({} unique by the checker), {ways} ways, {settled} settled, {:.1} s",
        graph.states.len(),
        checker.unique_state_count(),
        began.elapsed().as_secs_f64()
    );
    assert!(graph.states.len() > 10_000, "too few to mean anything");
    assert_eq!(
        stuck(&graph, System::is_settled),
        0,
        "the goal is in reach of every state"
    );
    assert_eq!(
        stuck(&graph, System::is_quiet),
        0,
        "and so is one with nothing left to do"
    );
    assert_eq!(leaks(&graph), [], "the goal is kept");
}

/// Whether a variant breaks a property.
fn breaks(variant: Variant, property: &'static str) -> bool {
    let stop = HasDiscoveries::AnyOf([property].into());
    let model = Protocol::new(variant).checker().threads(2).finish_when(stop);
    let found = model.spawn_bfs().join().discovery(property);
    if let Some(path) = &found {
        println!("{variant:?}: {:?}", path.clone().into_actions());
    }
    found.is_some()
}

#[test]
fn without_tombstones_a_late_request_makes_an_instance_that_nobody_owns() {
    assert!(breaks(Variant::NoTombstones, "no instance without its resource"));
}

#[test]
fn with_the_tombstone_looked_at_only_before_the_record_is_written_it_still_does() {
    assert!(breaks(
        Variant::TombstoneReadOnce,
        "no instance without its resource"
    ));
}

#[test]
fn without_the_fence_of_generations_an_old_request_undoes_a_newer_one() {
    assert!(breaks(Variant::NoFence, "a record never goes back"));
}

#[test]
fn with_a_finalizer_that_leaves_before_the_broker_confirms_an_instance_is_left() {
    assert!(breaks(
        Variant::ReleaseUnconfirmed,
        "no instance without its resource"
    ));
}

#[test]
fn a_removal_asked_for_by_name_takes_the_data_of_the_next_resource() {
    assert!(breaks(
        Variant::RemoveByName,
        "no data is lost that was not asked for"
    ));
}

//! Requests of any kind, for property tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use kidp_core::instance::{DeletionPolicy, Engine};
use kidp_core::size::Size;
use kidp_provisioners::engines::parameters::{Kind, Parameter};
use kidp_provisioners::engines::{mongodb, mysql, postgresql, rabbitmq, redis};
use kidp_provisioners::{ClusterFeatures, Instance, Provisioner, Registry};
use proptest::prelude::*;
use serde_json::json;

use super::instance_of;

/// Every engine, by its place.
pub fn engines() -> Vec<Arc<dyn Provisioner>> {
    Registry::standard().iter().cloned().collect()
}

fn parameters_of(engine: Engine) -> &'static [Parameter] {
    match engine {
        Engine::Postgresql => postgresql::PARAMETERS,
        Engine::Mysql => mysql::PARAMETERS,
        Engine::Redis => redis::PARAMETERS,
        Engine::Rabbitmq => rabbitmq::PARAMETERS,
        Engine::Mongodb => mongodb::PARAMETERS,
        Engine::Sqlserver | Engine::Other(_) => &[],
    }
}

fn names() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?"
}

/// A value that a parameter accepts.
fn example(kind: Kind) -> String {
    match kind {
        Kind::Integer { max, .. } => max.to_string(),
        Kind::Real { max, .. } => max.to_string(),
        Kind::Memory { min, units, .. } => units.shown(min),
        Kind::Duration { .. } => "30s".to_owned(),
        Kind::Bool => "on".to_owned(),
        Kind::Choice(words) | Kind::List(words) => words[0].to_owned(),
        Kind::TimeZone => "Europe/Berlin".to_owned(),
        Kind::Letters(letters) => letters.to_owned(),
        Kind::Numbers(group) => "60 ".repeat(group),
    }
}

/// A value that a parameter accepts, or any text, for the names of any engine.
pub fn parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    let every: Vec<Parameter> = engines()
        .iter()
        .flat_map(|p| parameters_of(p.engine()).iter().copied())
        .collect();
    let known = prop::sample::select(every.clone());
    let known = known.prop_map(|parameter| (parameter.name.to_owned(), example(parameter.kind)));
    let any = (prop::sample::select(every), "\\PC{0,40}|[\n'\"\\\\# =a]{0,12}");
    let any = any.prop_map(|(parameter, value)| (parameter.name.to_owned(), value));
    prop::collection::btree_map("[a-z_]{1,20}", prop_oneof![known, any], 0..8)
        .prop_map(|pairs| pairs.into_values().collect())
}

/// An instance of the engine of a place.
pub fn instances_of(place: usize) -> impl Strategy<Value = Instance> {
    let provisioner = engines().remove(place);
    let size = prop::sample::select(&Size::ALL[..]);
    let version = prop::sample::select(provisioner.capabilities().versions);
    let policy = prop::sample::select(vec![DeletionPolicy::Delete, DeletionPolicy::Retain]);
    let several = (any::<bool>(), any::<bool>());
    let metrics = (
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec("[a-z0-9-]{1,70}", 0..3),
    );
    let asked = (several, metrics);
    (names(), version, size, 1_u32..4000, parameters(), policy, ".{0,80}", asked).prop_map(
        move |(name, version, size, storage, parameters, policy, team, (several, metrics))| {
            let (several, cloudnative_pg) = several;
            let (enabled, prometheus_operator, from) = metrics;
            let extra = json!({
                "storage": {"size": format!("{storage}Gi")}, "parameters": parameters, "deletionPolicy": policy,
                "highAvailability": several, "monitoring": {"enabled": enabled, "fromNamespaces": from}
            });
            let features = ClusterFeatures { cloudnative_pg, prometheus_operator, ..ClusterFeatures::default() };
            Instance { team, features, ..instance_of(provisioner.as_ref(), &name, &version, size, &extra) }
        },
    )
}

/// Settings that the engine of a place has, with values of their type.
pub fn settings_of(place: usize) -> impl Strategy<Value = BTreeMap<String, String>> {
    let all = parameters_of(engines().remove(place).engine());
    let known: Vec<_> = all.iter().map(|p| (p.name.to_owned(), example(p.kind))).collect();
    prop::sample::subsequence(known, 0..=all.len().min(6)).prop_map(|pairs| pairs.into_iter().collect())
}

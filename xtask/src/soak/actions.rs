//! What users do: chosen at random, then done.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kidp_core::crd::Database;
use kidp_core::names::base_name;
use kidp_e2e::fixtures::database;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rand::RngExt as _;
use serde_json::json;

use super::SoakError;
use crate::scale::nodes::STORAGE_CLASS;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new database.
    Create(String),
    /// Another size.
    Resize(String, &'static str),
    /// Its Service is deleted by hand.
    DropService(String),
    /// Its pods are taken away by hand.
    ScaleToNone(String),
    /// No longer wanted.
    Delete(String),
}

impl Action {
    /// The next one: mostly new ones while there are fewer than wanted.
    pub fn choose(random: &mut impl rand::Rng, live: &[String], wanted: usize) -> Self {
        let new = |random: &mut dyn rand::Rng| Self::Create(format!("s-{:08x}", random.next_u32()));
        let Some(name) = (!live.is_empty()).then(|| live[random.random_range(0..live.len())].clone()) else {
            return new(random);
        };
        let few = live.len() < wanted;
        match random.random_range(0..100) {
            0..60 if few => new(random),
            0..40 => Self::Resize(
                name,
                if random.random_bool(0.5) {
                    "small"
                } else {
                    "medium"
                },
            ),
            40..65 => Self::DropService(name),
            65..85 => Self::ScaleToNone(name),
            _ => Self::Delete(name),
        }
    }

    /// Does it. What is not there yet, or no longer, cannot be changed by a user either.
    pub async fn run(&self, client: &Client, namespace: &str) -> Result<(), SoakError> {
        let databases: Api<Database> = Api::namespaced(client.clone(), namespace);
        let by_hand = PatchParams::default();
        let done = match self {
            Self::Create(name) => {
                let mut database = database(namespace, name)?;
                database.spec.storage.class = Some(STORAGE_CLASS.to_owned());
                databases
                    .create(&PostParams::default(), &database)
                    .await
                    .map(drop)
            }
            Self::Resize(name, size) => {
                let patch = Patch::Merge(json!({"spec": {"size": size}}));
                databases.patch(name, &by_hand, &patch).await.map(drop)
            }
            Self::DropService(name) => {
                let api: Api<Service> = Api::namespaced(client.clone(), namespace);
                api.delete(&base_name(name, "postgresql"), &DeleteParams::default())
                    .await
                    .map(drop)
            }
            Self::ScaleToNone(name) => {
                let api: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
                let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
                api.patch(&base_name(name, "postgresql"), &by_hand, &patch)
                    .await
                    .map(drop)
            }
            Self::Delete(name) => databases.delete(name, &DeleteParams::default()).await.map(drop),
        };
        match done {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => Ok(other?),
        }
    }
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    created: u32,
    resized: u32,
    changed: u32,
    deleted: u32,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, action: &Action) {
        *match action {
            Action::Create(_) => &mut self.created,
            Action::Resize(..) => &mut self.resized,
            Action::DropService(_) | Action::ScaleToNone(_) => &mut self.changed,
            Action::Delete(_) => &mut self.deleted,
        } += 1;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            created,
            resized,
            changed,
            deleted,
        } = self;
        write!(
            f,
            "{created} created, {resized} resized, {changed} changed by hand, {deleted} deleted"
        )
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_seed_chooses_the_same_again_and_everything_is_chosen() {
        let live = ["a".to_owned(), "b".to_owned()];
        let chosen = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let choose = |_| Action::choose(&mut random, &live, 2);
            (0..200).map(choose).collect::<Vec<_>>()
        };
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        let mut counts = Counts::default();
        for action in chosen(7) {
            counts.add(&action);
        }
        assert!(
            counts.resized > 0 && counts.changed > 0 && counts.deleted > 0,
            "{counts}"
        );
        assert_eq!(counts.created, 0);
    }

    #[test]
    fn the_first_is_made_and_few_become_more() {
        let mut random = StdRng::seed_from_u64(1);
        assert!(matches!(Action::choose(&mut random, &[], 2), Action::Create(_)));
        let live = ["a".to_owned()];
        let made = (0..100).filter(|_| matches!(Action::choose(&mut random, &live, 200), Action::Create(_)));
        assert!(made.count() > 40);
    }
}

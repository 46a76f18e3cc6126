//! What a replica knows of the cluster for admission: watches of its own, since replicas that stand by judge as well.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kidp_core::cost::{Shape, estimate};
use kidp_core::crd::{Application, Broker, PriceBook, Team, Tenant};
use kidp_core::instance::ResourceType;
use kidp_core::labels;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, reflector, store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::quota::{Item, What};
use crate::cache::{Caches, caches, namespace_of};
use crate::costs::location_of;
use crate::kind::AnyResource;
use crate::kube_io::{WriteError, timed};
use crate::select::{Candidate, PlacementRequest, Verdict, select_broker};
use crate::tenancy::resources_of_team;

/// What is known, and a client for what is not yet.
#[derive(Clone)]
pub struct View {
    client: Client,
    /// What was seen.
    pub caches: Caches,
    /// Prices, where costs are on.
    prices: Option<Prices>,
}

/// The price book that counts.
#[derive(Clone)]
struct Prices {
    name: String,
    books: Store<PriceBook>,
}

impl View {
    /// Starts the watches; they end with `stop`. With `namespaces`, those of teams are known too; with the name of a
    /// price book and the namespace of brokers, what resources cost.
    pub fn start(
        client: Client,
        namespaces: bool,
        prices: Option<&(String, Option<String>)>,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Self {
        let (caches, writers) = caches();
        let all = || watcher::Config::default();
        run(tasks, Api::all(client.clone()), all(), writers.databases, stop);
        run(tasks, Api::all(client.clone()), all(), writers.caches, stop);
        run(
            tasks,
            Api::all(client.clone()),
            all(),
            writers.message_queues,
            stop,
        );
        run(tasks, Api::all(client.clone()), all(), writers.teams, stop);
        run(tasks, Api::all(client.clone()), all(), writers.applications, stop);
        run(tasks, Api::all(client.clone()), all(), writers.tenants, stop);
        if namespaces {
            let api: Api<PartialObjectMeta<_>> = Api::all(client.clone());
            run(
                tasks,
                api,
                all().labels(labels::TEAM_UID),
                writers.namespaces,
                stop,
            );
        } else {
            crate::cache::nothing(writers.namespaces);
        }
        let prices = prices.map(|(name, namespace)| {
            let (books, writer) = store();
            run(tasks, Api::all(client.clone()), all(), writer, stop);
            let brokers = match namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            run(tasks, brokers, all(), writers.brokers, stop);
            Prices {
                name: name.clone(),
                books,
            }
        });
        Self {
            client,
            caches,
            prices,
        }
    }

    /// Whether everything was listed once. Before that nothing can be judged.
    pub async fn is_ready(&self) -> bool {
        let c = &self.caches;
        let all = async {
            c.databases.wait_until_ready().await?;
            c.caches.wait_until_ready().await?;
            c.message_queues.wait_until_ready().await?;
            c.teams.wait_until_ready().await?;
            c.applications.wait_until_ready().await?;
            c.tenants.wait_until_ready().await?;
            if let Some(prices) = &self.prices {
                prices.books.wait_until_ready().await?;
                c.brokers.wait_until_ready().await?;
            }
            c.namespaces.wait_until_ready().await
        };
        matches!(
            tokio::time::timeout(std::time::Duration::from_millis(500), all).await,
            Ok(Ok(()))
        )
    }

    /// The team, asked for where it was not seen yet: it may have been made a moment ago.
    pub async fn team(&self, namespace: &str, name: &str) -> Result<Option<Arc<Team>>, WriteError> {
        match self.caches.team(namespace, name) {
            Some(team) => Ok(Some(team)),
            None => self.ask(namespace, name).await,
        }
    }

    /// The application, in the same way.
    pub async fn application(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Application>>, WriteError> {
        match self.caches.application(namespace, name) {
            Some(application) => Ok(Some(application)),
            None => self.ask(namespace, name).await,
        }
    }

    /// The tenant, in the same way.
    pub async fn tenant(&self, namespace: &str, name: &str) -> Result<Option<Arc<Tenant>>, WriteError> {
        match self.caches.tenant(namespace, name) {
            Some(tenant) => Ok(Some(tenant)),
            None => self.ask(namespace, name).await,
        }
    }

    async fn ask<K>(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        Ok(timed(api.get_opt(name)).await?.map(Arc::new))
    }

    /// What belongs to a team, as far as it was seen.
    pub fn items_of(&self, team: &Team) -> Vec<Item> {
        let key = (namespace_of(team), team.name_any());
        let item = |what, namespace: String, name: String, monthly| Item {
            what,
            namespace,
            name,
            team: key.clone(),
            monthly,
        };
        let owned = resources_of_team(team, &self.caches);
        let services = owned.iter().map(|resource| {
            let monthly = self.monthly(resource.as_ref());
            let key = resource.key();
            item(what_of(key.kind), key.namespace, key.name, monthly)
        });
        let applications = self.caches.applications_of_team(&key.0, &key.1);
        let applications = applications.iter().map(|app| {
            item(
                What::Application,
                namespace_of(app.as_ref()),
                app.name_any(),
                None,
            )
        });
        let itself = item(What::Team, key.0.clone(), key.1.clone(), None);
        services.chain(applications).chain([itself]).collect()
    }

    /// The currency of the price book.
    pub fn currency(&self) -> Option<String> {
        let prices = self.prices.as_ref()?;
        let book = prices.books.get(&ObjectRef::new(&prices.name))?;
        Some(book.spec.currency.clone())
    }

    /// What a resource is expected to cost a month, in hundredths of the currency: at its broker, or, until it has one, at
    /// the dearest that it may come to. `None` where a price is not known.
    pub fn monthly(&self, resource: &dyn AnyResource) -> Option<u64> {
        let prices = self.prices.as_ref()?;
        let book = prices.books.get(&ObjectRef::new(&prices.name))?;
        let shape = Shape::of(resource.kind(), &resource.instance_spec()).ok()?;
        let brokers = match resource.placed_at() {
            Some((namespace, name)) => vec![self.caches.broker(&namespace, &name)?],
            None => self.possible(&resource.placement_request()),
        };
        let now = Timestamp::now();
        let price = |broker: &Arc<Broker>| {
            let estimate = estimate(&book.spec, &shape, &location_of(broker), now).ok()?;
            Some(estimate.monthly.hundredths())
        };
        // One that is not known makes the whole not known: it might be the dearest.
        let all: Option<Vec<u64>> = brokers.iter().map(price).collect();
        all?.into_iter().max()
    }

    /// The brokers that a request may come to, now or later.
    fn possible(&self, request: &PlacementRequest) -> Vec<Arc<Broker>> {
        let candidates = self.caches.brokers.state().into_iter();
        let candidates = candidates.map(|broker| Candidate { broker, active: 0 }).collect();
        let verdicts = select_broker(request, candidates, Timestamp::now()).verdicts;
        let may = verdicts
            .into_iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Fits(_)) || verdict.may_pass());
        may.map(|(candidate, _)| candidate.broker).collect()
    }

    /// What belongs to the teams of a tenant, as far as it was seen.
    pub fn items_of_tenant(&self, namespace: &str, name: &str) -> BTreeSet<Item> {
        let teams = self.caches.teams_of_tenant(namespace, name);
        teams.iter().flat_map(|team| self.items_of(team)).collect()
    }
}

/// What a kind of service counts as.
pub const fn what_of(kind: ResourceType) -> What {
    match kind {
        ResourceType::Database => What::Database,
        ResourceType::Cache => What::Cache,
        ResourceType::MessageQueue => What::MessageQueue,
    }
}

fn run<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    stop: &CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    ObjectRef<K>: Hash + Eq,
{
    let stream = watcher(api, config).default_backoff().modify(|object| {
        object.managed_fields_mut().clear();
    });
    let stream = reflector(writer, stream).take_until(stop.clone().cancelled_owned());
    tasks.spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            if let Err(error) = event {
                tracing::warn!(kind = %K::kind(&()), %error, "admission: watch failed, trying again");
            }
        }
    });
}

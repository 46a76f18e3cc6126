//! What the cluster offers beside Kubernetes itself, kept up to date: an operator that is installed later is used
//! without a restart of the broker.
//!
//! A question that fails changes nothing. An instance that was made with cert-manager must not be judged as if there
//! was none, only because the API server was away.

use std::time::Duration;

use kidp_provisioners::ClusterFeatures;
use kidp_provisioners::features::DiscoverError;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the cluster is asked.
const INTERVAL: Duration = Duration::from_mins(1);

/// The cluster's features, as they were last seen.
#[derive(Clone, Debug)]
pub struct Features(watch::Receiver<ClusterFeatures>);

impl Features {
    /// Asks the cluster, and again every minute until `shutdown`.
    pub async fn watch(client: Client, shutdown: CancellationToken) -> Result<Self, DiscoverError> {
        let first = ClusterFeatures::discover(&client).await?;
        tracing::info!(
            cert_manager = first.cert_manager,
            cloudnative_pg = first.cloudnative_pg,
            prometheus_operator = first.prometheus_operator,
            "features of the cluster"
        );
        let (sender, receiver) = watch::channel(first);
        tokio::spawn(shutdown.run_until_cancelled_owned(refresh(client, sender)));
        Ok(Self(receiver))
    }

    /// These, for good.
    pub fn fixed(features: ClusterFeatures) -> Self {
        Self(watch::channel(features).1)
    }

    /// What was last seen.
    pub fn current(&self) -> ClusterFeatures {
        *self.0.borrow()
    }
}

async fn refresh(client: Client, sender: watch::Sender<ClusterFeatures>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        match ClusterFeatures::discover(&client).await {
            Ok(now) => {
                sender.send_if_modified(|known| {
                    let changed = *known != now;
                    if changed {
                        tracing::info!(
                            cert_manager = now.cert_manager,
                            cloudnative_pg = now.cloudnative_pg,
                            prometheus_operator = now.prometheus_operator,
                            "the features of the cluster have changed"
                        );
                    }
                    *known = now;
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "the features of the cluster stay as they were last seen"),
        }
    }
}

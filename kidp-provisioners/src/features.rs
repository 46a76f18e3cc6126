//! What a cluster offers beside Kubernetes itself: operators of other people's that provisioners build on.
//!
//! Rendering is pure, so these are part of its input; [`ClusterFeatures::discover`] asks a cluster for them.

use std::time::Duration;

use kube::Client;
use thiserror::Error;

use crate::apply::is_404;

use crate::resources::{cloudnative_pg, monitor};

/// API group and version of cert-manager's certificates.
const CERT_MANAGER: &str = "cert-manager.io/v1";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Operators that are installed in a cluster; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterFeatures {
    /// cert-manager's `Certificate` and `Issuer` are served.
    pub cert_manager: bool,
    /// CloudNativePG's `Cluster` is served.
    pub cloudnative_pg: bool,
    /// The Prometheus Operator's `ServiceMonitor` and `PodMonitor` are served.
    pub prometheus_operator: bool,
}

/// A cluster could not be asked for its API groups. Ask again: it says nothing about what is installed.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// The API server answered with an error, or not at all.
    #[error("asking for the API group {group}: {source}")]
    Kube {
        /// Group and version.
        group: &'static str,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// No answer came in time.
    #[error("no answer within {} s when asking for the API group {group}", TIMEOUT.as_secs())]
    Timeout {
        /// Group and version.
        group: &'static str,
    },
}

impl ClusterFeatures {
    /// Asks the cluster. Needs no permission beyond discovery, which every authenticated client has.
    pub async fn discover(client: &Client) -> Result<Self, DiscoverError> {
        let (cert_manager, cloudnative_pg, prometheus_operator) = tokio::try_join!(
            serves(client, CERT_MANAGER, &["certificates", "issuers"]),
            serves(client, cloudnative_pg::API_VERSION, &["clusters"]),
            serves(client, monitor::API_VERSION, &["servicemonitors", "podmonitors"]),
        )?;
        Ok(Self {
            cert_manager,
            cloudnative_pg,
            prometheus_operator,
        })
    }
}

/// Whether a group and version is served with all of these resources.
async fn serves(client: &Client, group: &'static str, resources: &[&str]) -> Result<bool, DiscoverError> {
    let answer = tokio::time::timeout(TIMEOUT, client.list_api_group_resources(group))
        .await
        .map_err(|_| DiscoverError::Timeout { group })?;
    match answer {
        Ok(list) => Ok(resources
            .iter()
            .all(|wanted| list.resources.iter().any(|served| served.name == *wanted))),
        Err(error) if is_404(&error) => Ok(false),
        Err(source) => Err(DiscoverError::Kube {
            group,
            source: Box::new(source),
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A client of an API server that answers everything with this.
    fn client(status: u16, answer: &str) -> Client {
        let answer = answer.to_owned();
        Client::new(
            tower::service_fn(move |_: Request<Body>| {
                let body = Body::from(answer.clone().into_bytes());
                async move {
                    Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(body).unwrap())
                }
            }),
            "default",
        )
    }

    #[tokio::test]
    async fn what_is_not_served_is_absent_and_a_failure_is_none() {
        // As an API server answers for a path that it does not have.
        let found = ClusterFeatures::discover(&client(404, "404 page not found\n")).await;
        assert_eq!(found.unwrap(), ClusterFeatures::default());
        let found = ClusterFeatures::discover(&client(403, "forbidden")).await;
        assert!(matches!(found, Err(DiscoverError::Kube { .. })));
    }

    #[tokio::test]
    async fn every_resource_has_to_be_served() {
        let list = |names: &[&str]| {
            let resource = |name: &&str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": []});
            let resources: Vec<_> = names.iter().map(resource).collect();
            json!({"kind": "APIResourceList", "groupVersion": "g/v1", "resources": resources}).to_string()
        };
        let found = ClusterFeatures::discover(&client(200, &list(&["certificates", "clusters"]))).await;
        let expected = ClusterFeatures {
            cert_manager: false,
            cloudnative_pg: true,
            prometheus_operator: false,
        };
        assert_eq!(found.unwrap(), expected);
        let found = ClusterFeatures::discover(&client(200, &list(&["certificates", "issuers"]))).await;
        let expected = ClusterFeatures {
            cert_manager: true,
            cloudnative_pg: false,
            prometheus_operator: false,
        };
        assert_eq!(found.unwrap(), expected);
        let served = list(&["podmonitors", "servicemonitors"]);
        let found = ClusterFeatures::discover(&client(200, &served)).await.unwrap();
        assert!(found.prometheus_operator && !found.cert_manager);
    }
}

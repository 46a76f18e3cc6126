//! A PostgreSQL instance that was applied to the API server in memory, with its pod and its claim.

use kidp_core::size::Size;
use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::{Instance, Options, Provisioner};
use serde_json::json;

use super::api_server::ApiServer;
use super::instance;

pub const SET: &str = "/apis/apps/v1/namespaces/shop/statefulsets/orders-postgresql";
pub const CLAIM: &str = "/api/v1/namespaces/shop/persistentvolumeclaims/data-orders-postgresql-0";

pub fn orders() -> Instance {
    instance("orders", "16", Size::Small, &json!({}))
}

/// A server that has it.
pub async fn running() -> ApiServer {
    let server = ApiServer::default();
    Postgresql::default()
        .provision(&server.client(), &orders(), &Options::default())
        .await
        .unwrap();
    server.with(|state| {
        let set = state.objects.get_mut(SET).unwrap();
        set["status"] = json!({"replicas": 1});
        let labels = set["metadata"]["labels"].clone();
        let mut claim = set["spec"]["volumeClaimTemplates"][0].clone();
        claim["metadata"]["name"] = json!("data-orders-postgresql-0");
        claim["metadata"]["labels"] = labels;
        state.objects.insert(CLAIM.to_owned(), claim);
    });
    server.take_writes();
    server
}

//! The operator alone, as a process of this machine under the rights of its shipped service account, and requests in the
//! name of people.
//!
//! No broker is needed: what is tested is what comes before one is asked.

use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DynamicObject, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use tempfile::TempDir;

use crate::cluster::{apply, delete, delete_namespace, read_manifests};
use crate::error::Doing;
use crate::pods::OPERATOR_NAMESPACE;
use crate::process::{Process, binaries, free_port, log_tail};
use crate::proxy::ApiProxy;
use crate::{Error, Result};

/// The service account that the shipped manifests give the operator.
const ACCOUNT: &str = "kidp-operator";
/// How long its token is good: longer than any test.
const TOKEN_SECONDS: i64 = 7_200;

/// A client that asks in the name of `user`.
pub async fn client_of(user: &str) -> Result<Client> {
    let mut config = Config::infer()
        .await
        .map_err(|error| Error::NoCluster(error.to_string()))?;
    let value = user.parse().map_err(|_| Error::Document {
        doing: "impersonating".into(),
        reason: format!("`{user}` is no header"),
    })?;
    let name = axum::http::HeaderName::from_static("impersonate-user");
    config.headers.push((name, value));
    Client::try_from(config).map_err(|error| Error::NoCluster(error.to_string()))
}

/// A client that is the operator's service account, by a token of it.
async fn client_of_account(client: &Client) -> Result<Client> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .doing("asking for a token of the operator")?;
    let token = answer.status.and_then(|status| status.token).unwrap_or_default();
    let mut config = Config::infer()
        .await
        .map_err(|error| Error::NoCluster(error.to_string()))?;
    // Nothing of the administrator's: a certificate would go before the token.
    config.auth_info = AuthInfo {
        token: Some(token.into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).map_err(|error| Error::NoCluster(error.to_string()))
}

/// The shipped rights: of the operator, and of people in the namespaces of their teams.
pub fn rights() -> Result<Vec<DynamicObject>> {
    let mut objects = read_manifests(&crate::pods::workspace().join("deploy/manifests/operator"))?;
    let kinds = [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ];
    objects.retain(|object| {
        object
            .types
            .as_ref()
            .is_some_and(|t| kinds.contains(&t.kind.as_str()))
    });
    Ok(objects)
}

/// Takes granted rights away again, and waits until the operator's namespace is gone: the next test makes it anew.
pub async fn revoke(client: &Client, rights: &[DynamicObject]) -> Result<()> {
    delete(client, rights).await?;
    delete_namespace(client, OPERATOR_NAMESPACE).await
}

/// A running operator, for all namespaces.
pub struct Operator {
    /// What it says to the API server.
    pub api: ApiProxy,
    process: Process,
    log: PathBuf,
}

impl Operator {
    /// Grants the shipped rights and starts one under them. `name` tells the replicas of a test apart.
    pub async fn start(client: &Client, folder: &TempDir, name: &str, arguments: &[String]) -> Result<Self> {
        apply(client, &rights()?).await?;
        Self::start_granted(client, folder.path(), name, arguments).await
    }

    async fn start_granted(client: &Client, folder: &Path, name: &str, arguments: &[String]) -> Result<Self> {
        let api = ApiProxy::start(client_of_account(client).await?, folder, name).await?;
        let health = format!("127.0.0.1:{}", free_port()?);
        let mut all = vec![
            format!("--callback-listen=127.0.0.1:{}", free_port()?),
            format!("--health-listen={health}"),
            "--broker-namespace=kidp-system".to_owned(),
            "--team-namespaces".to_owned(),
        ];
        all.extend_from_slice(arguments);
        let log = folder.join(format!("{name}.log"));
        let health = format!("http://{health}/readyz");
        let program = binaries()?.join("kidp-operator");
        let process = Process::start(&program, api.kubeconfig(), &all, &log, &health).await?;
        Ok(Self { api, process, log })
    }

    /// The end of its log, for a failed test's report.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Ends it as a crash does.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await
    }
}

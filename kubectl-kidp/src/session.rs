//! The clusters that a command talks to: chosen as `kubectl` chooses them, every request with a limit.

use std::future::Future;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Global;
use crate::error::{Error, Result};

/// Connections to the management cluster and to the target cluster, which may be the same.
#[derive(Clone)]
pub struct Session {
    /// The management cluster.
    pub client: Client,
    /// The target cluster.
    pub target: Client,
    /// Whether the target cluster was named.
    pub has_target: bool,
    /// The namespace that commands are about.
    pub namespace: String,
    /// Longest wait for one answer.
    pub limit: Duration,
}

impl Session {
    /// Connects as the options say. Nothing is sent yet.
    pub async fn open(global: &Global) -> Result<Self> {
        let config = config(global, global.context.as_deref()).await?;
        let namespace = global
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = connect(config)?;
        let target = match &global.target_context {
            Some(context) => connect(self::config(global, Some(context)).await?)?,
            None => client.clone(),
        };
        Ok(Self {
            client,
            target,
            has_target: global.target_context.is_some(),
            namespace,
            limit: global.request_timeout,
        })
    }

    /// Waits for an answer of the API server, as long as the options allow.
    pub async fn ask<T>(&self, doing: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(answer) => answer.map_err(|source| Error::Kube {
                doing: doing.to_owned(),
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Timeout {
                doing: doing.to_owned(),
                after: self.limit,
            }),
        }
    }

    /// Waits for what the SDK does, whose single requests have limits of their own.
    pub async fn within<T, E: std::fmt::Display>(
        &self,
        doing: &str,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> Result<T> {
        let limit = self.limit * STEPS;
        match tokio::time::timeout(limit, work).await {
            Ok(answer) => answer.map_err(|error| Error::Sdk(format!("{doing}: {error}"))),
            Err(_) => Err(Error::Timeout {
                doing: doing.to_owned(),
                after: limit,
            }),
        }
    }
}

/// How many answers one piece of the SDK's work waits for, one after another.
const STEPS: u32 = 6;

async fn config(global: &Global, context: Option<&str>) -> Result<Config> {
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    let made = match &global.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|e| Error::Kubeconfig(e.to_string()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    let mut config = made.map_err(|e| Error::Kubeconfig(e.to_string()))?;
    config.connect_timeout = Some(global.request_timeout);
    // Answers are bounded by `ask`; a limit here would end forwarded connections that are idle.
    config.read_timeout = None;
    Ok(config)
}

fn connect(config: Config) -> Result<Client> {
    Client::try_from(config).map_err(|error| Error::Kubeconfig(error.to_string()))
}

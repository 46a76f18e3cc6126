//! Operator and broker as processes of this machine, each behind a relay that counts and holds its writes.

use std::path::{Path, PathBuf};

use kidp_core::crd::{Broker, BrokerPhase};
use kube::{Api, Client};
use tempfile::TempDir;

use crate::cluster::{create_namespace, delete_namespace};
use crate::error::Doing;
use crate::fixtures::{change_broker, create_broker};
use crate::process::{Process, binaries, free_port, log_tail};
use crate::proxy::ApiProxy;
use crate::wait::{Seen, until};
use crate::{Error, Result};

/// Both processes, their relays and the namespace with the `Broker` object.
pub struct Platform {
    /// Client of the harness, not relayed.
    pub client: Client,
    /// Relay of the operator.
    pub operator_api: ApiProxy,
    /// Relay of the broker.
    pub broker_api: ApiProxy,
    /// Namespace of the `Broker` object and of the broker's key; also the broker's name, so that platforms of
    /// several tests in one cluster leave each other's instances alone.
    pub namespace: String,
    operator: Option<Process>,
    broker: Option<Process>,
    ports: Ports,
    programs: PathBuf,
    watch: String,
    folder: TempDir,
    options: Options,
}

/// What differs from a usual platform.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// URL that the broker calls; the operator's own receiver when absent.
    pub callback_url: Option<String>,
    /// More arguments of the operator.
    pub operator: Vec<String>,
    /// More arguments of the broker.
    pub broker: Vec<String>,
    /// For measurements: both are clients of this cluster without a relay between, and log as shipped.
    pub kubeconfig: Option<PathBuf>,
}

struct Ports {
    broker: u16,
    callback: u16,
    health: u16,
}

impl Platform {
    /// Starts both and waits until the operator knows the broker. The operator serves `watch` alone, so that
    /// several platforms can live in one cluster.
    pub async fn start(client: &Client, namespace: &str, watch: &str) -> Result<Self> {
        Self::start_from(client, namespace, watch, &binaries()?).await
    }

    /// The same, with the programs of a folder.
    pub async fn start_from(client: &Client, namespace: &str, watch: &str, programs: &Path) -> Result<Self> {
        Self::start_with(client, namespace, watch, programs, Options::default()).await
    }

    /// The same, with options.
    pub async fn start_with(
        client: &Client,
        namespace: &str,
        watch: &str,
        programs: &Path,
        options: Options,
    ) -> Result<Self> {
        let mut platform = Self::prepare(client, namespace, watch, programs).await?;
        platform.options = options;
        platform.start_broker().await?;
        platform.start_operator().await?;
        platform.wait_broker(BrokerPhase::Ready).await?;
        Ok(platform)
    }

    /// Everything but the processes.
    async fn prepare(client: &Client, namespace: &str, watch: &str, programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("kidp-e2e-")
            .tempdir()
            .doing("making a folder for logs")?;
        create_namespace(client, namespace).await?;
        let ports = Ports {
            broker: free_port()?,
            callback: free_port()?,
            health: free_port()?,
        };
        let endpoint = format!("http://127.0.0.1:{}", ports.broker);
        create_broker(client, namespace, namespace, &endpoint).await?;
        Ok(Self {
            client: client.clone(),
            operator_api: ApiProxy::start(client.clone(), folder.path(), "operator").await?,
            broker_api: ApiProxy::start(client.clone(), folder.path(), "broker").await?,
            namespace: namespace.to_owned(),
            operator: None,
            broker: None,
            ports,
            programs: programs.to_owned(),
            watch: watch.to_owned(),
            folder,
            options: Options::default(),
        })
    }

    /// Base URL of the broker.
    pub fn broker_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.broker)
    }

    /// Host and port of the operator's probes and metrics.
    pub fn operator_metrics(&self) -> String {
        format!("127.0.0.1:{}", self.ports.health)
    }

    /// URL of the operator's callback receiver.
    pub fn callback_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/callback", self.ports.callback)
    }

    /// URL that the broker is told to call.
    fn called_url(&self) -> String {
        let other = self.options.callback_url.clone();
        other.unwrap_or_else(|| self.callback_url())
    }

    /// Log files of both.
    pub fn logs(&self) -> [PathBuf; 2] {
        [self.log("operator"), self.log("broker")]
    }

    /// Process ids of operator and broker.
    pub fn ids(&self) -> [Option<u32>; 2] {
        [
            self.operator.as_ref().and_then(Process::id),
            self.broker.as_ref().and_then(Process::id),
        ]
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Folder of logs and kubeconfigs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the broker.
    pub async fn start_broker(&mut self) -> Result<()> {
        self.broker = Some(self.broker_process(&self.namespace, self.ports.broker).await?);
        Ok(())
    }

    /// Starts a further broker, in the namespace of the first, and registers it with `changes` to the usual spec.
    pub async fn add_broker(&self, name: &str, changes: serde_json::Value) -> Result<Process> {
        let port = free_port()?;
        let process = self.broker_process(name, port).await?;
        create_broker(
            &self.client,
            &self.namespace,
            name,
            &format!("http://127.0.0.1:{port}"),
        )
        .await?;
        change_broker(&self.client, &self.namespace, name, changes).await?;
        Ok(process)
    }

    async fn broker_process(&self, name: &str, port: u16) -> Result<Process> {
        let address = format!("127.0.0.1:{port}");
        let arguments = [
            "--name",
            name,
            "--namespace",
            &self.namespace,
            "--listen",
            &address,
            "--allowed-callback-url",
            &self.called_url(),
            // CloudNativePG brings its manager along, so that it takes the image that is here anyway.
            "--postgres-ha-image-repository",
            "docker.io/library/postgres",
            "--postgres-ha-uid",
            "999",
        ]
        .map(str::to_owned);
        let arguments = [&arguments[..], &self.options.broker].concat();
        let log = if name == self.namespace { "broker" } else { name };
        let health = format!("http://{address}/readiness");
        let relay = &self.broker_api;
        self.process("kidp-broker", relay, &arguments, log, &health).await
    }

    async fn process(
        &self,
        program: &str,
        relay: &ApiProxy,
        arguments: &[String],
        log: &str,
        health: &str,
    ) -> Result<Process> {
        let (program, log) = (self.programs.join(program), self.log(log));
        if let Some(kubeconfig) = &self.options.kubeconfig {
            return Process::start_as_shipped(&program, kubeconfig, arguments, &log, health).await;
        }
        Process::start(&program, relay.kubeconfig(), arguments, &log, health).await
    }

    /// Starts the operator.
    pub async fn start_operator(&mut self) -> Result<()> {
        let arguments = [
            "--callback-listen",
            &format!("127.0.0.1:{}", self.ports.callback),
            "--callback-url",
            &self.called_url(),
            "--health-listen",
            &format!("127.0.0.1:{}", self.ports.health),
            "--broker-namespace",
            &self.namespace,
            "--watch-namespace",
            &self.watch,
        ]
        .map(str::to_owned);
        let arguments = [&arguments[..], &self.options.operator].concat();
        let health = format!("http://127.0.0.1:{}/readyz", self.ports.health);
        let process = self
            .process(
                "kidp-operator",
                &self.operator_api,
                &arguments,
                "operator",
                &health,
            )
            .await?;
        self.operator = Some(process);
        Ok(())
    }

    /// Crashes the operator.
    pub async fn kill_operator(&mut self) -> Result<()> {
        match self.operator.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Crashes the broker.
    pub async fn kill_broker(&mut self) -> Result<()> {
        match self.broker.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Waits until the operator says this of the broker.
    pub async fn wait_broker(&self, phase: BrokerPhase) -> Result<()> {
        self.wait_broker_named(&self.namespace, phase).await
    }

    /// Waits until the operator says this of the broker of this name.
    pub async fn wait_broker_named(&self, name: &str, phase: BrokerPhase) -> Result<()> {
        let api: Api<Broker> = Api::namespaced(self.client.clone(), &self.namespace);
        until(
            &format!("broker {name} to be {phase:?}"),
            std::time::Duration::from_mins(1),
            async || {
                let broker = api.get(name).await.doing("reading the broker")?;
                let now = broker.status.clone().unwrap_or_default().phase;
                let status = || serde_json::to_string(&broker.status).unwrap_or_default();
                Ok(if now == phase {
                    Seen::Done(())
                } else {
                    Seen::NotYet(status())
                })
            },
        )
        .await
    }

    /// Ends both as a kubelet does, checks that they end with success, and removes the namespace.
    pub async fn stop(mut self) -> Result<()> {
        self.end().await?;
        delete_namespace(&self.client, &self.namespace).await
    }

    /// Ends both as a kubelet does, and checks that they end with success.
    pub async fn end(&mut self) -> Result<()> {
        for process in [self.operator.take(), self.broker.take()].into_iter().flatten() {
            let id = process.id();
            if !process.terminate().await? {
                let what = format!("process {id:?}");
                return Err(Error::Document {
                    doing: what,
                    reason: "did not end with success on SIGTERM".into(),
                });
            }
        }
        Ok(())
    }

    /// The end of both logs, for a failed test's report.
    pub fn log_tails(&self) -> String {
        let report = |path: &PathBuf| format!("--- {}\n{}\n", path.display(), log_tail(path));
        self.logs().iter().map(report).collect::<Vec<_>>().concat()
    }
}

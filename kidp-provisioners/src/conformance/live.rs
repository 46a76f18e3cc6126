//! What only a cluster can say. These checks write to it: they make an instance, wait for it and remove it with its
//! data.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kidp_provisioners::conformance::{Samples, live};
//! use kidp_provisioners::engines::postgresql::Postgresql;
//!
//! # async fn f(client: kube::Client) {
//! let postgresql = Postgresql::default();
//! // The namespace exists, and better enforces the `restricted` Pod Security Standard.
//! let samples = Samples::standard(&postgresql).in_namespace("conformance");
//! let mut instance = samples.instances()[0].clone();
//! // The owner that samples have does not exist, and garbage collection would take what it owns.
//! instance.owner_reference = None;
//! let report = live::check(&client, &postgresql, &instance, Duration::from_secs(180)).await;
//! assert!(report.is_conformant(), "{report}");
//! # }
//! ```

mod acceptance;

use std::time::{Duration, Instant};

use kidp_core::instance::DeletionPolicy;
use kidp_core::labels;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};

use super::objects::Notes;
use super::report::{Check, Finding, Report};
use super::samples::Samples;
use crate::apply::{ApplyError, Options, is_404, removed_kinds};
use crate::instance::Instance;
use crate::observe::{CertificateState, Observed};
use crate::provisioner::{Deprovisioned, Provisioner, Readiness};

pub use acceptance::acceptance;

/// Between two looks at the cluster.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes an instance, waits until it is ready, and removes it; each for at most `patience`.
///
/// An error is a finding, and the instance is removed all the same.
pub async fn check(
    client: &Client,
    provisioner: &dyn Provisioner,
    instance: &Instance,
    patience: Duration,
) -> Report {
    let mut report = Report::new(provisioner, 1);
    let sample = Samples::default().with(instance.clone());
    report.add(Check::Acceptance, acceptance(client, provisioner, &sample).await);
    let mut life = Life {
        client,
        provisioner,
        instance,
        patience,
        steady: Notes::new(Check::SteadyState),
        usable: Notes::new(Check::Usability),
    };
    if let Err(error) = life.run().await {
        life.usable.add(instance, "", error.to_string());
    }
    let (steady, usable) = (life.steady.findings(), life.usable.findings());
    report.add(Check::SteadyState, steady);
    report.add(Check::Usability, usable);
    report.add(
        Check::Removal,
        removal(client, provisioner, instance, patience).await,
    );
    report
}

/// An instance from its first call until it is ready.
struct Life<'a> {
    client: &'a Client,
    provisioner: &'a dyn Provisioner,
    instance: &'a Instance,
    patience: Duration,
    steady: Notes,
    usable: Notes,
}

impl Life<'_> {
    async fn run(&mut self) -> Result<(), ApplyError> {
        let first = self.provision().await?;
        let instance = self.instance;
        self.usable.require(!first.is_empty(), instance, "", || {
            "the instance was there before; give a namespace without it".to_owned()
        });
        if instance.spec.encryption.in_transit {
            self.certified().await?;
        }
        self.silent("right after the first").await?;
        let start = Instant::now();
        loop {
            let observed = self.provisioner.observe(self.client, instance).await?;
            let readiness = self.provisioner.readiness(instance, &observed);
            if readiness == Readiness::Ready {
                break;
            }
            if start.elapsed() > self.patience {
                let message = format!("is not ready within {:?}: {readiness:?}", self.patience);
                self.usable.add(instance, "", message);
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.silent("once controllers have done their part").await
    }

    /// Waits until there is a certificate, where one is to be made, and applies what waited for it.
    async fn certified(&self) -> Result<(), ApplyError> {
        let start = Instant::now();
        let is_missing = |observed: Observed| {
            let state = observed.certificate.map(|certificate| certificate.state);
            state == Some(CertificateState::Missing)
        };
        while is_missing(self.provisioner.observe(self.client, self.instance).await?) {
            if start.elapsed() > self.patience {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.provision().await.map(|_| ())
    }

    async fn provision(&self) -> Result<Vec<String>, ApplyError> {
        let options = Options::default();
        let applied = self
            .provisioner
            .provision(self.client, self.instance, &options)
            .await?;
        Ok(applied.written)
    }

    /// A call that has nothing to do writes nothing.
    async fn silent(&mut self, when: &str) -> Result<(), ApplyError> {
        for object in self.provision().await? {
            let message = format!("is written again {when}: what was applied is read back differently");
            self.steady.add(self.instance, &object, message);
        }
        let drift = self.provisioner.drift(self.client, self.instance).await?;
        for change in drift.changes {
            self.steady
                .add(self.instance, "", format!("differs {when}: {change}"));
        }
        for unknown in drift.unknown {
            self.steady.add(self.instance, "", format!("{when}, {unknown}"));
        }
        Ok(())
    }
}

/// Removes an instance with its data, for at most `patience`, and looks for what is left by its labels.
pub async fn removal(
    client: &Client,
    provisioner: &dyn Provisioner,
    instance: &Instance,
    patience: Duration,
) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Removal);
    let start = Instant::now();
    loop {
        let state = provisioner
            .deprovision(client, instance, DeletionPolicy::Delete)
            .await;
        match state {
            Ok(Deprovisioned::Done) => break,
            state if start.elapsed() > patience => {
                notes.add(
                    instance,
                    "",
                    format!("is not removed within {patience:?}: {state:?}"),
                );
                break;
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    match left(client, instance).await {
        Ok(left) => {
            for object in left {
                notes.add(instance, &object, "is left after removal");
            }
        }
        Err(error) => notes.add(instance, "", format!("cannot see what is left: {error}")),
    }
    notes.findings()
}

/// What carries the labels of an instance, of the kinds that an instance is made of.
async fn left(client: &Client, instance: &Instance) -> Result<Vec<String>, kube::Error> {
    let selector = format!("{}={}", labels::DEPLOYMENT_ID, instance.deployment_id);
    let params = ListParams::default().labels(&selector);
    let mut left = Vec::new();
    for resource in removed_kinds() {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &instance.namespace, &resource);
        let found = match api.list_metadata(&params).await {
            // A kind of an operator that this cluster does not have.
            Err(error) if is_404(&error) => continue,
            found => found?,
        };
        let names = found.items.into_iter().filter_map(|object| object.metadata.name);
        left.extend(names.map(|name| format!("{}/{name}", resource.kind)));
    }
    Ok(left)
}

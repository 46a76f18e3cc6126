//! What each database had first: a password and a volume, which it has as long as it lives.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kidp_core::crd::Database;
use kidp_core::names::base_name;
use kidp_e2e::fixtures::is_ready;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use super::SoakError;
use super::actions::Action;

/// Of one database, as far as it has been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct First {
    /// A digest: passwords are not kept.
    password: Option<Vec<u8>>,
    /// The claim's uid.
    claim: Option<String>,
}

/// All that are wanted.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<String, First>);

impl Ledger {
    /// Names of those that are wanted.
    pub fn live(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Takes down what was done.
    pub fn done(&mut self, action: &Action) {
        match action {
            Action::Create(name) => {
                self.0.insert(name.clone(), First::default());
            }
            Action::Delete(name) => {
                self.0.remove(name);
            }
            Action::Resize(..) | Action::DropService(_) | Action::ScaleToNone(_) => {}
        }
    }

    /// Looks at all passwords and volumes; what differs from what was first seen is an error within.
    pub async fn audit(&mut self, client: &Client, namespace: &str) -> Result<Result<(), String>, SoakError> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=kidp");
        let secrets = secrets.list(&ours).await?.items;
        let claims = claims.list(&ours).await?.items;
        let mut passwords = BTreeMap::new();
        for secret in &secrets {
            let data = secret.data.as_ref().and_then(|data| data.get("password"));
            if let Some(password) = data {
                passwords.insert(secret.name_any(), Sha256::digest(&password.0).to_vec());
            }
        }
        let uids = claims
            .iter()
            .filter_map(|c| Some((c.name_any(), c.uid()?)))
            .collect();
        Ok(self.compare(&passwords, &uids))
    }

    fn compare(
        &mut self,
        passwords: &BTreeMap<String, Vec<u8>>,
        claims: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        for (name, first) in &mut self.0 {
            let base = base_name(name, "postgresql");
            let of = |found: &String| found.starts_with(&base);
            let password = passwords
                .iter()
                .find(|(found, _)| of(found))
                .map(|(_, value)| value);
            // Claims are named by their template, set and ordinal.
            let claim = claims
                .iter()
                .find(|(found, _)| found.contains(&base))
                .map(|(_, uid)| uid);
            kept(&mut first.password, password).map_err(|how| format!("{name}: its password {how}"))?;
            kept(&mut first.claim, claim).map_err(|how| format!("{name}: its volume claim {how}"))?;
        }
        Ok(())
    }
}

/// Remembers what is seen first, and compares what is seen later.
fn kept<T: Clone + PartialEq>(first: &mut Option<T>, now: Option<&T>) -> Result<(), &'static str> {
    match (&first, now) {
        (None, now) => {
            *first = now.cloned();
            Ok(())
        }
        (Some(_), None) => Err("is gone"),
        (Some(before), Some(now)) if before != now => Err("is another"),
        (Some(_), Some(_)) => Ok(()),
    }
}

/// Those that are not Ready, if any.
pub fn unready(databases: &[Database]) -> Option<String> {
    let waiting: Vec<_> = databases
        .iter()
        .filter(|d| d.metadata.deletion_timestamp.is_some() || !is_ready(*d))
        .map(|d| {
            let status = d.status.clone().unwrap_or_default();
            format!("{} {:?}", d.name_any(), status.phase)
        })
        .collect();
    (!waiting.is_empty()).then(|| {
        let shown = waiting.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        format!("{} are not: {shown}", waiting.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> BTreeMap<String, String> {
        [("data-orders-postgresql-0".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn another_password_or_volume_is_a_loss_and_so_is_none() {
        let secret = |value: &str| {
            [(
                "orders-postgresql-connection".to_owned(),
                value.as_bytes().to_vec(),
            )]
            .into()
        };
        let mut ledger = Ledger::default();
        ledger.done(&Action::Create("orders".to_owned()));
        ledger.compare(&BTreeMap::new(), &BTreeMap::new()).unwrap();
        ledger.compare(&secret("a"), &one("1")).unwrap();
        ledger.compare(&secret("a"), &one("1")).unwrap();
        let lost = |found: Result<(), String>| found.unwrap_err();
        assert_eq!(
            lost(ledger.compare(&secret("b"), &one("1"))),
            "orders: its password is another"
        );
        assert_eq!(
            lost(ledger.compare(&secret("a"), &one("2"))),
            "orders: its volume claim is another"
        );
        assert_eq!(
            lost(ledger.compare(&BTreeMap::new(), &one("1"))),
            "orders: its password is gone"
        );
        ledger.done(&Action::Delete("orders".to_owned()));
        ledger.compare(&BTreeMap::new(), &BTreeMap::new()).unwrap();
    }
}

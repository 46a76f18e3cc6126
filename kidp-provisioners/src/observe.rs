//! The state of an instance's objects, read from the cluster: what readiness is judged by.

use kube::Client;

use crate::apply::ApplyError;
use crate::instance::Instance;

/// What was read. Every field is plain data, so that readiness is a pure function of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {}

pub(crate) async fn observe(_client: &Client, _instance: &Instance) -> Result<Observed, ApplyError> {
    todo!("helper B")
}

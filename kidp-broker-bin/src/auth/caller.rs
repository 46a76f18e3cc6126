//! What a route knows of its client.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kidp_core::problem::{Problem, Reason};

use super::identity::Identity;
use super::policy::{Policy, Verb, authorize};
use crate::Broker;
use crate::audit;
use crate::error::ApiError;

/// The client of a request, what it may do, and the entry of the audit log that its request gets.
#[derive(Debug)]
pub struct Caller {
    identity: Identity,
    policy: Option<Arc<Policy>>,
    /// What is told of the request in the audit log.
    pub audit: audit::Entry,
}

impl Caller {
    /// Who it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Refuses what the client may not do in this namespace.
    pub fn check(&self, verb: Verb, namespace: &str) -> Result<(), Problem> {
        authorize(self.policy.as_deref(), &self.identity, verb, namespace)
    }
}

impl FromRequestParts<Arc<Broker>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, broker: &Arc<Broker>) -> Result<Self, ApiError> {
        // A route that nobody guards is a fault of the program, and is closed rather than open.
        let unguarded = || Problem::new(Reason::Internal, "this route does not know its client");
        Ok(Self {
            identity: parts.extensions.get().cloned().ok_or_else(unguarded)?,
            policy: broker.access.policy.as_ref().map(crate::reload::Live::current),
            audit: parts.extensions.get().cloned().unwrap_or_default(),
        })
    }
}

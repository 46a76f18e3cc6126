//! Who a client is, and how that is known.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a client's identity is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// It is not: no authentication is configured.
    Anonymous,
    /// By an API key.
    ApiKey,
    /// By a token of a service account of the broker's own cluster.
    ServiceAccount,
    /// By a token of the issuer that is configured.
    Jwt,
    /// By a client certificate.
    Certificate,
}

impl Method {
    /// The method as it is written, in policies and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ApiKey => "apiKey",
            Self::ServiceAccount => "serviceAccount",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
        }
    }
}

/// A client. Two clients of one name that are known by different methods are different clients: a certificate's
/// or another cluster's `system:serviceaccount:a:b` is not that of the broker's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// How it is known.
    pub method: Method,
    /// Its name.
    pub name: Arc<str>,
}

impl Identity {
    /// A client of this name.
    pub fn new(method: Method, name: impl Into<Arc<str>>) -> Self {
        Self {
            method,
            name: name.into(),
        }
    }

    /// Somebody.
    pub fn anonymous() -> Self {
        Self::new(Method::Anonymous, "anonymous")
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.name)
    }
}

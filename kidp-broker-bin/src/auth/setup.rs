//! The front door as it is configured. What does not make sense is refused at the start, with its flag.

use std::fmt::Display;
use std::path::Path;

use kube::Client;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::api_keys::ApiKeys;
use super::jwks::{JwtIssuer, KeySet};
use super::policy::Policy;
use super::token_review::TokenReviewer;
use super::{Access, Authenticator};
use crate::config::AccessConfig;
use crate::rate_limit::RateLimits;
use crate::reload::{EVERY, FileError, Live, follow};
use crate::server::tls::{self, Tls};

/// The front door cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file is not usable.
    #[error("{flag} {source}")]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// Why.
        source: FileError,
    },
    /// A policy for clients that nobody knows apart.
    #[error(
        "--authorization-file needs a way to authenticate: --api-key-file, --token-audience, --jwks-file or --client-ca-file"
    )]
    NobodyToAuthorize,
}

fn file(flag: &'static str) -> impl FnOnce(FileError) -> SetupError {
    move |source| SetupError::File { flag, source }
}

/// What the file of a flag says, as it changes.
fn live<T, E>(
    flag: &'static str,
    path: &Path,
    parse: fn(&[u8]) -> Result<T, E>,
    stop: &CancellationToken,
) -> Result<Live<T>, SetupError>
where
    T: Send + Sync + 'static,
    E: Display + 'static,
{
    let parse = move |files: &[Vec<u8>]| parse(&files.concat());
    follow(vec![path.to_owned()], parse, EVERY, stop.clone()).map_err(file(flag))
}

/// Who may ask, how often, and for what.
pub fn access(
    config: &AccessConfig,
    client: &Client,
    stop: &CancellationToken,
) -> Result<Access, SetupError> {
    let authenticator = authenticator(config, client, stop)?;
    let policy = match &config.authorization_file {
        None => None,
        Some(_) if authenticator.is_open() => return Err(SetupError::NobodyToAuthorize),
        Some(path) => Some(live("--authorization-file", path, Policy::parse, stop)?),
    };
    if authenticator.is_open() {
        tracing::warn!("nobody is asked who they are: the network is the boundary of this API");
    } else if policy.is_none() && authenticator.tokens.is_some() {
        tracing::warn!(
            "--token-audience without --authorization-file: every pod of this cluster can get a token for the \
             audience, and may do everything here"
        );
    }
    Ok(Access {
        authenticator,
        policy,
        limits: RateLimits::new(config.rate_limit_per_minute),
    })
}

fn authenticator(
    config: &AccessConfig,
    client: &Client,
    stop: &CancellationToken,
) -> Result<Authenticator, SetupError> {
    let keys = config
        .api_key_file
        .as_ref()
        .map(|path| live("--api-key-file", path, ApiKeys::parse, stop));
    let tokens = config
        .token_audience
        .as_ref()
        .map(|audience| TokenReviewer::new(client.clone(), audience.as_str()));
    Ok(Authenticator {
        keys: keys.transpose()?,
        tokens,
        issuer: issuer(config, stop)?,
        certificates: config.client_ca_file.is_some(),
    })
}

fn issuer(config: &AccessConfig, stop: &CancellationToken) -> Result<Option<JwtIssuer>, SetupError> {
    let (Some(path), Some(issuer), Some(audience)) =
        (&config.jwks_file, &config.jwks_issuer, &config.jwks_audience)
    else {
        return Ok(None);
    };
    let keys = live("--jwks-file", path, KeySet::parse, stop)?;
    Ok(Some(JwtIssuer::new(keys, issuer.as_str(), audience.as_str())))
}

/// What the API is served with over TLS, if it is.
pub fn tls(config: &AccessConfig, stop: &CancellationToken) -> Result<Option<Live<Tls>>, SetupError> {
    tls::follow_files(config, stop.clone()).map_err(file("--tls-cert-file"))
}

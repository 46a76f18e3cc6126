//! The settings of the front door: who may ask, how often, and over what.

use std::path::PathBuf;

use clap::Args;

/// Who may ask, how often, and over what. Every way to authenticate is off unless it is given here.
#[derive(Clone, Debug, Args)]
pub struct AccessConfig {
    /// File with API keys, one a line: `name:key`, `name=key` or the key alone. Read again when it changes. A client sends
    /// its key as `Authorization: Bearer` or `X-API-Key`, or name and key as `Authorization: Basic`.
    #[arg(long, env = "KIDP_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,

    /// Takes tokens of service accounts of the broker's own cluster that were made for this audience; its API server is
    /// asked about each (`TokenReview`).
    #[arg(long, env = "KIDP_TOKEN_AUDIENCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub token_audience: Option<String>,

    /// File with the keys (JWKS) of another issuer, such as the management cluster's API server. Read again when it changes.
    #[arg(long, env = "KIDP_JWKS_FILE", requires_all = ["jwks_issuer", "jwks_audience"])]
    pub jwks_file: Option<PathBuf>,

    /// The `iss` of that issuer's tokens.
    #[arg(long, env = "KIDP_JWKS_ISSUER", requires = "jwks_file", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub jwks_issuer: Option<String>,

    /// The `aud` that its tokens must have.
    #[arg(long, env = "KIDP_JWKS_AUDIENCE", requires = "jwks_file", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub jwks_audience: Option<String>,

    /// Certificate that the API is served with over TLS, with its chain, in PEM. Read again when it changes.
    #[arg(long, env = "KIDP_TLS_CERT_FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// Its private key, in PEM.
    #[arg(long, env = "KIDP_TLS_KEY_FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,

    /// Certificate authorities of client certificates, in PEM. A client is who its certificate says: its first URI, DNS
    /// name or common name, in that order. Read again when it changes.
    #[arg(long, env = "KIDP_CLIENT_CA_FILE", requires = "tls_cert_file")]
    pub client_ca_file: Option<PathBuf>,

    /// File, YAML or JSON, that says which client may do what in which namespaces. Read again when it changes. Without it,
    /// every client that is authenticated may do everything.
    #[arg(long, env = "KIDP_AUTHORIZATION_FILE")]
    pub authorization_file: Option<PathBuf>,

    /// Most requests of a client in a minute, for clients that the authorization file sets no other limit for; 0 is none.
    /// Where nobody is authenticated, a client is an address.
    #[arg(long, env = "KIDP_RATE_LIMIT_PER_MINUTE", default_value_t = 100)]
    pub rate_limit_per_minute: u32,

    /// Most connections at once; more wait to be taken.
    #[arg(long, env = "KIDP_MAX_CONNECTIONS", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_connections: u16,
}

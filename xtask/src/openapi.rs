//! `cargo xtask openapi`: writes `docs/openapi.json` from the broker's routes.
//!
//! The broker's own test that compares the file writes it when asked to, so that this program need not be built with the
//! broker in it.

use std::path::PathBuf;
use std::time::Duration;

use crate::paths::checkout;
use crate::process::{Cmd, ProcessError};

/// Building the broker is part of it.
const LIMIT: Duration = Duration::from_mins(20);

/// Writes the file and gives its path.
pub async fn write() -> Result<PathBuf, ProcessError> {
    Cmd::new("cargo")
        .args([
            "test",
            "--quiet",
            "--package",
            "kidp-broker-bin",
            "--lib",
            "openapi::tests::the_committed",
        ])
        .env("KIDP_WRITE_OPENAPI", "1")
        .dir(checkout())
        .reports()
        .timeout(LIMIT)
        .output()
        .await?;
    Ok(checkout().join("docs/openapi.json"))
}

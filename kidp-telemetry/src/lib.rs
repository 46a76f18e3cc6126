#![doc = include_str!("../README.md")]

pub mod config;
mod export;
pub mod headers;
mod lines;
pub mod metrics;
mod share;
pub mod span;
mod start;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::{LogFormat, TelemetryConfig};
pub use start::{Settings, StartError, Telemetry, start};

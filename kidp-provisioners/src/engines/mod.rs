//! One module an engine, and what they share.

pub mod checks;
mod exporter;
mod image;
pub mod mongodb;
pub mod mysql;
pub mod objects;
pub mod parameters;
pub mod postgresql;
pub mod rabbitmq;
pub mod redis;
pub mod tls;

pub use exporter::Exporter;
pub use image::{Image, PullPolicy};

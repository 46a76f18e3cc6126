//! One module an engine.

mod image;
pub mod postgresql;

pub use image::{Image, PullPolicy};

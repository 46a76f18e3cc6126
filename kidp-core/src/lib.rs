#![doc = include_str!("../README.md")]

pub mod clock;
pub mod conditions;
pub mod cost;
pub mod crd;
pub mod deployment;
pub mod group;
pub mod instance;
pub mod labels;
pub mod mutation;
pub mod names;
pub mod position;
pub mod problem;
pub mod quantity;
pub mod revision;
pub mod size;
pub mod wire;

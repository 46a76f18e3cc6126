#![doc = include_str!("../README.md")]

pub mod conditions;
pub mod crd;
pub mod deployment;
pub mod group;
pub mod instance;
pub mod labels;
pub mod names;
pub mod problem;
pub mod quantity;
pub mod size;
pub mod wire;

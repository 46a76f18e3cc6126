#![doc = include_str!("../README.md")]

pub mod api;
pub mod campaign;
pub mod driver;
pub mod fault;
pub mod judge;
pub mod planted;
pub mod process;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod wire;

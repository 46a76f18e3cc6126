#![doc = include_str!("../README.md")]

mod additions;
mod author;
mod change;
mod compare;
mod consequence;
mod drift;
mod items;
mod listing;
mod path;
pub mod policy;
mod quantity;
mod schema;
mod secrets;
mod walk;
mod without;

#[cfg(test)]
mod tests;

pub use additions::{additions, additions_as};
pub use author::Author;
pub use change::Change;
pub use compare::{diff, diff_as};
pub use consequence::Consequence;
pub use drift::{Drift, Unknown, UnknownReason};
pub use listing::{Listing, listing};
pub use quantity::amount;
pub use without::without;

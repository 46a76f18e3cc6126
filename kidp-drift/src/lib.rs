#![doc = include_str!("../README.md")]

mod author;
mod change;
mod compare;
mod merge_keys;
mod path;
mod quantity;

pub use author::Author;
pub use change::Change;
pub use compare::diff;

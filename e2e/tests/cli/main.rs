//! `kubectl kidp` on a real cluster: the causes that it finds, and its commands against a platform that runs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod causes;
mod platform;

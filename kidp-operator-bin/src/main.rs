//! The KIDP operator process.

fn main() {}

//! What a measurement with many instances needs beside KIDP: nodes that cost nothing, and a peer.

pub mod nodes;
pub mod twin;

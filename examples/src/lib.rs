//! Runnable examples of embedding the SDK: see `examples/render.rs` and `examples/embed.rs`.

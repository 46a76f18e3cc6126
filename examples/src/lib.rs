//! Runnable examples of embedding the SDK: see `examples/render.rs`, `examples/embed.rs` and `examples/own_engine.rs`.

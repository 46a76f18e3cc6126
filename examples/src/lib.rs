//! Runnable examples of embedding the SDK: see `render.rs`, `plan.rs`, `embed.rs` and `own_engine.rs` in `examples/`.

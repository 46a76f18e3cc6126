//! Runnable examples of embedding the SDK: see `render.rs`, `plan.rs`, `embed.rs`, `own_engine.rs` and `simulate.rs` in `examples/`.

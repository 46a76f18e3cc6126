//! One module an engine.

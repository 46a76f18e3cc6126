//! The KIDP operator.

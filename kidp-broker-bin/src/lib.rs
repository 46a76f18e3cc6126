//! The KIDP broker.

//! The KIDP broker process.

fn main() {}

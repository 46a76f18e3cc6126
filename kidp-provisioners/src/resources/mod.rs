//! One file a resource kind: the objects that every engine is built from.

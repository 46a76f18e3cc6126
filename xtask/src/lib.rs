//! Developer commands as a library, so that the end-to-end tests and the demo can bring up the development
//! cluster and load images the same way the command line does.
pub mod checks;
pub mod crdgen;
pub mod demo;
pub mod devcluster;
pub mod images;
pub mod paths;
pub mod perf;
pub mod platform;
pub mod process;
pub mod progress;
pub mod scan;

//! Tools for authors of plugins: projects, builds, tables of tests, measurements.
//!
//! Makes, explains and tries out components; serves no request. Knows the plugin host alone.
//! Prints nothing: `cli::plugin` does, which calls all of it.

pub mod bench;
pub mod build;
pub mod cases;
pub mod component;
pub mod junit;
pub mod project;
pub mod template;

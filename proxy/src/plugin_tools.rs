//! Tools for plugin authors: projects, builds, test cases, benchmarks.
//!
//! Builds, inspects and tests components; serves no requests. Depends only on the plugin host.
//! Prints nothing: `cli::plugin` calls everything here and prints the results.

pub mod bench;
pub mod build;
pub mod cases;
pub mod component;
pub mod junit;
pub mod project;
pub mod template;

//! Tools for plugin authors: projects, builds, test tables, benchmarks.
//!
//! Builds, inspects and tests components; serves no request. Depends on the plugin host only.
//! Prints nothing: `cli::plugin` calls everything here and prints the results.

pub mod bench;
pub mod build;
pub mod cases;
pub mod component;
pub mod junit;
pub mod project;
pub mod template;

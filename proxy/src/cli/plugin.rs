//! `pointsman plugin`: tools for plugin authors.
//!
//! Each subcommand has its own file. `plugin_tools` does the work.

mod bench;
mod build;
mod check;
mod new;
mod test;
mod watch;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Exit;
use crate::config::{BUNDLED_PLUGINS, Compile, PluginSource};
use crate::plugin::{CompiledCache, Engine, EngineLimits, Plugin, Source};
use crate::plugin_tools::cases::Table;
use crate::rollout::loader;

/// Maximum number of instances that exist at the same time: the one in use and those being created.
const INSTANCES: u32 = 4;

/// Subcommands of `pointsman plugin`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a project with sources, tests and the SDK.
    New(new::Flags),
    /// Build a project into a component with the tools of its language, and check it.
    Build(build::Flags),
    /// Describe a file: its kind, its imports, what is missing from it, and whether the proxy
    /// accepts it.
    Check(check::Flags),
    /// Run the requests of a file through a plugin, and compare its decisions.
    Test(test::Flags),
    /// Measure a plugin: time to load, start and decide, and memory.
    Bench(bench::Flags),
    /// Build and test on each save, and put passing builds into a running proxy.
    Watch(watch::Flags),
}

/// Argument that names a plugin file or a bundled plugin.
#[derive(Debug, clap::Args)]
struct File {
    /// Component, core module, or name of a bundled plugin
    plugin: PathBuf,
}

/// Argument that names the file of test cases.
#[derive(Debug, clap::Args)]
struct Cases {
    /// Requests and expected decisions, in the format of docs/plugins/testing.md
    #[arg(long, value_name = "FILE", default_value = "cases.toml")]
    cases: PathBuf,
}

pub(super) fn run(command: &Command) -> Exit {
    let done = match command {
        Command::New(flags) => new::run(flags),
        Command::Build(flags) => build::run(flags),
        Command::Check(flags) => check::run(flags),
        Command::Test(flags) => test::run(flags),
        Command::Bench(flags) => bench::run(flags),
        Command::Watch(flags) => watch::run(flags),
    };
    done.unwrap_or_else(|exit| exit)
}

impl File {
    fn read(&self) -> Result<Source, Exit> {
        read(&self.plugin)
    }
}

fn read(path: &Path) -> Result<Source, Exit> {
    let bundled = path.to_str().filter(|name| BUNDLED_PLUGINS.contains(name));
    let source = match bundled {
        Some(name) if !path.exists() => PluginSource::Bundled(name.to_owned()),
        _ => PluginSource::File(path.to_owned()),
    };
    let limit = Compile::default().file_size;
    loader::read(&source, limit).map_err(|error| about(path, &error))
}

impl Cases {
    fn read(&self) -> Result<Table, Exit> {
        let text = std::fs::read_to_string(&self.cases);
        let text = text.map_err(|error| about(&self.cases, &error))?;
        Table::parse(&text).map_err(|error| about(&self.cases, &error))
    }
}

fn engine() -> Result<Engine, Exit> {
    let limits = EngineLimits {
        instances: INSTANCES,
    };
    Engine::try_new(limits, super::COMPILER).map_err(|error| super::fail(&error))
}

/// Loads a plugin, from the cache of compiled code if possible.
fn load(path: &Path, source: &Source) -> Result<Plugin, Exit> {
    // Without a cache, the plugin is compiled on every run.
    let cache = CompiledCache::default_directory()
        .and_then(|directory| CompiledCache::open(directory).ok());
    Plugin::load(&engine()?, source, cache.as_ref()).map_err(|error| about(path, &error))
}

/// Prints an error about a file.
fn about(path: &Path, error: &dyn std::error::Error) -> Exit {
    let text = format!("{}: {}", path.display(), crate::telemetry::chain(error));
    super::fail(&std::io::Error::other(text))
}

/// Formats a duration in a readable unit.
fn time(nanoseconds: u128) -> String {
    // Three digits are enough for a comparison.
    match nanoseconds {
        0..10_000 => format!("{nanoseconds} ns"),
        10_000..10_000_000 => format!("{} µs", nanoseconds / 1_000),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}

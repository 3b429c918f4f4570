//! `pointsman plugin`: for those who write plugins.
//!
//! One file for each of its commands. The work is done by `plugin_tools`.

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

/// Instances that exist at one time here: one after the other, and what is being made.
const INSTANCES: u32 = 4;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a project: sources, tests, SDK, everything to begin with.
    New(new::Flags),
    /// Build a project to a component, with the tools of its language, and check it.
    Build(build::Flags),
    /// Say what a file is, what it imports and lacks, and whether the proxy would take it.
    Check(check::Flags),
    /// Ask a plugin the requests of a file, and compare what it decides.
    Test(test::Flags),
    /// Measure a plugin: time to load, to start, to decide; memory.
    Bench(bench::Flags),
    /// Build on each save, test, and put what passes into a running proxy.
    Watch(watch::Flags),
}

/// A plugin, as an argument.
#[derive(Debug, clap::Args)]
struct File {
    /// A component, a core module, or the name of a bundled plugin
    plugin: PathBuf,
}

/// Where cases are, as an argument.
#[derive(Debug, clap::Args)]
struct Cases {
    /// Requests and what is expected; docs/plugins/testing.md has the format
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

/// Loads a plugin, as quickly as the code that was compiled before allows.
fn load(path: &Path, source: &Source) -> Result<Plugin, Exit> {
    // Where there is none, compiling again is all that it costs.
    let cache = CompiledCache::default_directory()
        .and_then(|directory| CompiledCache::open(directory).ok());
    Plugin::load(&engine()?, source, cache.as_ref()).map_err(|error| about(path, &error))
}

/// Prints what is wrong with a file.
fn about(path: &Path, error: &dyn std::error::Error) -> Exit {
    let text = format!("{}: {}", path.display(), crate::telemetry::chain(error));
    super::fail(&std::io::Error::other(text))
}

/// A time, for people.
fn time(nanoseconds: u128) -> String {
    // Three digits are enough to compare by.
    match nanoseconds {
        0..10_000 => format!("{nanoseconds} ns"),
        10_000..10_000_000 => format!("{} µs", nanoseconds / 1_000),
        _ => format!("{} ms", nanoseconds / 1_000_000),
    }
}

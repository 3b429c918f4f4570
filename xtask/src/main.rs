//! The project's own commands: `cargo xtask COMMAND`.

mod bench;
mod fuzz;
mod paths;
mod plugins;
mod setup;
mod terminal;
mod test;
mod tidy;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Set up what the tests need, then run everything.
    Test(test::Options),
    /// Build the bundled plugins and the tests' guests as components.
    Plugins(plugins::Options),
    /// Check the layout of the sources, and the language of comments and documents.
    Tidy(tidy::Options),
    /// Fuzz the parsers and the plugin loader.
    Fuzz(fuzz::Options),
    /// Compare Pointsman with the proxies that people run today.
    Bench(bench::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Test(options) => test::run(&options),
        Command::Plugins(options) => plugins::run(&options),
        Command::Tidy(options) => tidy::run(&options),
        Command::Fuzz(options) => fuzz::run(&paths::Paths::find()?, &options),
        Command::Bench(options) => bench::run(&options),
    }
}

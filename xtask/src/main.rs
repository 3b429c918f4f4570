//! The project's own commands: `cargo xtask COMMAND`.

mod bench;
mod plugins;
mod setup;
mod test;
mod tidy;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Set up what the tests need, and run everything.
    Test(test::Options),
    /// Build the bundled plugins and the tests' guests to components.
    Plugins(plugins::Options),
    /// Check the layout of the sources.
    Tidy,
    /// Measure Pointsman beside the proxies that people run today.
    Bench(bench::Options),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Test(options) => test::run(&options),
        Command::Plugins(options) => plugins::run(&options),
        Command::Tidy => tidy::run(),
        Command::Bench(options) => bench::run(&options),
    }
}

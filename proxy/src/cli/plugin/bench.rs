//! `pointsman plugin bench`: measures a plugin.

use std::fmt::Write as _;

use super::{Cases, Exit, File, time};
use crate::plugin_tools::bench::{self, Figures};
use crate::plugin_tools::component::size;

/// Flags of `pointsman plugin bench`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    cases: Cases,
    /// Number of decisions to measure
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    count: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let table = flags.cases.read()?;
    let source = flags.file.read()?;
    let figures = bench::run(&super::engine()?, &source, &table, flags.count)
        .map_err(|error| super::about(&flags.file.plugin, &error))?;
    let text = if flags.json {
        let json = serde_json::to_string(&figures);
        format!("{}\n", json.map_err(|error| crate::cli::fail(&error))?)
    } else {
        render(&figures)
    };
    crate::cli::print(&text);
    Ok(Exit::Success)
}

fn render(figures: &Figures) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<24}{value}");
    };
    line("component", size(figures.size));
    line("compile, once", time(figures.compile_ns));
    line("load compiled code", time(figures.load_ns));
    line("make an instance", time(figures.instance_ns));
    line("its memory", size(figures.memory));
    line(
        "a decision",
        format!(
            "{} (median of {}), {} (p99), {} (mean)",
            time(figures.median_ns),
            figures.decisions,
            time(figures.p99_ns),
            time(figures.mean_ns)
        ),
    );
    line("memory afterwards", size(figures.memory_after));
    line(
        "a decision, cached",
        figures
            .cached_ns
            .map_or_else(|| "not cacheable".to_owned(), time),
    );
    text
}

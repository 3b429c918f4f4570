//! `pointsman plugin test`: runs a file of test cases.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Cases, Exit, File};
use crate::cli::lines;
use crate::plugin::Plugin;
use crate::plugin_tools::cases::{Case, Table, Verdict};
use crate::plugin_tools::junit::{self, Played};

/// Flags of `pointsman plugin test`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    cases: Cases,
    /// Write the results as `JUnit` XML, for a CI system
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also list the cases that passed
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let table = flags.cases.read()?;
    let source = flags.file.read()?;
    let plugin = super::load(&flags.file.plugin, &source)?;
    let played = play(&table, &plugin, flags.verbose);
    if let Some(path) = &flags.junit {
        let cases: Vec<_> = table
            .cases
            .iter()
            .zip(&played)
            .map(|(case, (verdict, failure))| Played {
                name: &case.name,
                time: verdict.time,
                failure: failure.as_deref(),
            })
            .collect();
        let xml =
            junit::report(plugin.name(), &cases).map_err(|error| super::about(path, &error))?;
        std::fs::write(path, xml).map_err(|error| super::about(path, &error))?;
    }
    Ok(if failures(&played) == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Runs the cases, prints the results, and returns the number of failed cases.
pub(super) fn play_all(table: &Table, plugin: &Plugin) -> usize {
    failures(&play(table, plugin, false))
}

/// Result of a case, with a description if the case failed.
type Outcome = (Verdict, Option<String>);

fn failures(played: &[Outcome]) -> usize {
    played
        .iter()
        .filter(|(_, failure)| failure.is_some())
        .count()
}

/// Runs the cases and prints the results.
fn play(table: &Table, plugin: &Plugin, verbose: bool) -> Vec<Outcome> {
    let cases = table.cases.iter();
    let played: Vec<_> = cases.map(|case| play_one(table, case, plugin)).collect();
    let mut text = String::new();
    for (case, (verdict, failure)) in table.cases.iter().zip(&played) {
        // Writing to a string cannot fail.
        let _ = match failure {
            Some(failure) => writeln!(text, "FAILED  {}\n{failure}", case.name),
            None if verbose => {
                let time = verdict.time.as_millis();
                writeln!(text, "ok      {} ({time} ms)", case.name)
            }
            None => Ok(()),
        };
    }
    let _ = match failures(&played) {
        0 if played.len() == 1 => writeln!(text, "1 case passed"),
        0 => writeln!(text, "{} cases passed", played.len()),
        failed => writeln!(text, "{failed} of {} cases failed", played.len()),
    };
    crate::cli::print(&text);
    played
}

fn play_one(table: &Table, case: &Case, plugin: &Plugin) -> Outcome {
    let (verdict, logged) = lines::collect(|| table.run(case, plugin));
    if verdict.differences.is_empty() {
        return (verdict, None);
    }
    let mut text = String::new();
    for difference in &verdict.differences {
        entry(&mut text, "expected", &difference.expected);
        entry(&mut text, "found", &difference.found);
    }
    entry(&mut text, "request", &case.to_string());
    entry(&mut text, "config", &case.config);
    if !verdict.reads.is_empty() {
        entry(&mut text, "read", &verdict.reads.join(", "));
    }
    let logged: Vec<_> = logged.iter().map(ToString::to_string).collect();
    if !logged.is_empty() {
        entry(&mut text, "log", &logged.join("\n"));
    }
    (verdict, Some(text))
}

/// Appends `value` under `label`. Further lines of `value` are aligned with its first line.
fn entry(text: &mut String, label: &str, value: &str) {
    for (index, line) in value.trim_end().lines().enumerate() {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(text, "        {label:<10}{line}");
    }
}

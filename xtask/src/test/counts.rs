//! Counts of tests, read from the runners' own summaries, which pass through unchanged.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, bail, ensure};

use crate::setup::shown;

/// Tests by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    passed: usize,
    failed: usize,
    /// Tests that were ignored, or left out by a filter.
    skipped: usize,
    /// Tests that were selected but did not run, because the runner ended early.
    not_run: usize,
}

/// The runner whose summary is expected.
#[derive(Clone, Copy)]
pub(super) enum Runner {
    Nextest,
    Libtest,
}

/// Whether a run can leave tests out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// A skipped test is a failure, so that "everything passed" means everything.
    All,
    /// A filter leaves tests out; the summary counts them as skipped.
    Some,
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
        self.not_run += more.not_run;
    }

    /// Counts a failed step as one failure if none of its tests failed.
    pub(super) fn fail(&mut self) {
        self.failed = self.failed.max(1);
    }

    /// Parses a runner's summary line; `None` for any other line.
    fn read(line: &str, runner: Runner) -> Option<Self> {
        let (selected, counts) = match runner {
            Runner::Nextest => line
                .split_once(" run: ")
                .filter(|_| line.contains("Summary"))?,
            Runner::Libtest => line.strip_prefix("test result: ")?.split_once(". ")?,
        };
        let mut read = Self::default();
        for part in counts.split([',', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(count) = count.parse::<usize>() else {
                continue;
            };
            match what {
                "passed" => read.passed += count,
                "failed" | "timed" | "exec" => read.failed += count,
                "skipped" | "ignored" => read.skipped += count,
                _ => {}
            }
        }
        // A run that ended early prints `5/9 tests run`.
        let ended_early = selected
            .split_whitespace()
            .find_map(|word| word.split_once('/'));
        if let Some((run, all)) = ended_early
            && let (Ok(run), Ok(all)) = (run.parse::<usize>(), all.parse::<usize>())
        {
            read.not_run = all.saturating_sub(run);
        }
        Some(read)
    }
}

impl fmt::Display for Counts {
    /// The plain form, `N passed, N failed, N skipped`, on a separate line, can be parsed by
    /// programs that read a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not_run > 0 {
            writeln!(f, "{} tests were not run", self.not_run)?;
        }
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Runs a test runner. Returns the counts of its summary, even if the runner failed.
pub(super) fn run(
    command: &mut Command,
    runner: Runner,
    selection: Selection,
) -> (Counts, anyhow::Result<()>) {
    let (counts, ended) = match watch(command, runner) {
        Ok((counts, ended)) => (counts, ended),
        Err(error) => (Counts::default(), Err(error)),
    };
    let outcome = ended.and_then(|()| {
        ensure!(counts.passed > 0, "{}: no test ran", shown(command));
        ensure!(
            counts.skipped == 0 || selection == Selection::Some,
            "{} tests were skipped: run them or remove them",
            counts.skipped
        );
        Ok(())
    });
    (counts, outcome)
}

fn watch(command: &mut Command, runner: Runner) -> anyhow::Result<(Counts, anyhow::Result<()>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let stderr = child.stderr.take().context("no stderr")?;
    let errors = thread::spawn(move || pass_through(stderr, io::stderr(), runner));
    let mut counts = pass_through(stdout, io::stdout(), runner);
    let Ok(more) = errors.join() else {
        bail!("reading the runner's output");
    };
    counts.add(more);
    let status = child.wait()?;
    let ended = if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!("{}: {status}", shown(command)))
    };
    Ok((counts, ended))
}

/// Copies a stream line by line, adding up the counts of its summaries.
fn pass_through(from: impl Read, mut to: impl Write, runner: Runner) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { break };
        // A closed terminal is no reason to stop counting.
        let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n"));
        let plain = without_colours(&String::from_utf8_lossy(&line));
        if let Some(more) = Counts::read(plain.trim(), runner) {
            counts.add(more);
        }
    }
    counts
}

/// Returns the text without terminal escapes (`ESC [ ... m`).
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (index, part) in text.split('\u{1b}').enumerate() {
        let visible = match part.split_once('m') {
            Some((_, after)) if index > 0 => after,
            _ => part,
        };
        plain.push_str(visible);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_a_failure() {
        let mut counts = Counts::default();
        counts.fail();
        counts.fail();
        assert_eq!(counts.to_string(), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn summaries() {
        let check = |runner, line: &str, expected: Option<[usize; 4]>| {
            let expected = expected.map(|[passed, failed, skipped, not_run]| Counts {
                passed,
                failed,
                skipped,
                not_run,
            });
            assert_eq!(
                Counts::read(&without_colours(line), runner),
                expected,
                "{line}"
            );
        };
        let (nextest, libtest) = (Runner::Nextest, Runner::Libtest);
        check(
            nextest,
            "\u{1b}[32;1m     Summary\u{1b}[0m [   1.2s] \u{1b}[1m4\u{1b}[0m tests run: \u{1b}[1m4\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
            Some([4, 0, 0, 0]),
        );
        check(
            nextest,
            "     Summary [ 60.0s] 5/9 tests run: 2 passed (1 slow), 2 failed, 1 timed out, 3 skipped",
            Some([2, 3, 3, 4]),
        );
        check(nextest, "        PASS [   0.1s] a b", None);
        check(
            libtest,
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            Some([3, 0, 1, 0]),
        );
        check(libtest, "test a ... ok", None);
    }
}

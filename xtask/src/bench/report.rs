//! The presentation of a measurement: tables, charts, and a page that explains the method.
//!
//! Owns the wording and the files in the output folder. Must not repeat the calculations of
//! `results` and `aims`. Called by `bench` and `session`.

mod chart;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Serialize, Serializer};

use super::aims::Finding;
use super::peers;
use super::results::{Measure, Outcome, Row, Summary};
use super::settings::Settings;
use super::workloads::Unit;
use table::Table;

/// All results, as in the JSON file.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) command: &'a str,
    #[serde(serialize_with = "as_map")]
    pub(crate) machine: Vec<(String, String)>,
    #[serde(serialize_with = "as_map")]
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) quick: bool,
    pub(crate) aims: Vec<Finding>,
    pub(crate) workloads: &'a [Outcome],
    #[serde(serialize_with = "as_map")]
    pub(crate) configurations: &'a [(String, String)],
}

/// Serializes pairs as a JSON object, in their order.
fn as_map<S: Serializer>(
    pairs: &impl AsRef<[(String, String)]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.as_ref().iter().map(|(name, value)| (name, value)))
}

/// The page's explanation of the method.
const METHOD: &str = "\
All proxies of a workload are started once and stay up. After a warm-up, each is loaded in turn
(A B C, A B C, ...), because a machine drifts more from one minute to the next than the proxies
differ. Ratios are taken within a round. Tables show the median over the rounds, with the minimum
and the maximum in parentheses. All proxies have as many threads as the machine has cores and keep
connections to servers alive. Access logs are off unless a row says otherwise. All proxies route as
in README.md's example: a Host that ends in `io.test.tld`, in any case, goes to one backend,
everything else to another. Before a proxy is measured, requests with several hosts must reach the
right backend.

CPU time is that of all processes of the proxy, from the kernel's clock of each. Its division into
user and system time comes from clock ticks. Pointsman compiles plugins in separate processes,
which end with the compilation: while plugins are replaced, the figure leaves out the CPU time of
these processes, and a note states it. Memory is from `/proc/PID/smaps_rollup`: proportional in the
column \"memory\", private for connections, tunnels and transfers. Private memory counts only the part
that came with them, not what a proxy sets aside when it starts. The client and the servers share
the cores with the proxies, so requests per second and latency say less than CPU time. wrk waits
for a response before it sends the next request, so its latencies leave out the requests that a
slow response held back; those of `half` include them. With access logs on, Pointsman and nginx
(`combined`, unbuffered, as by default) write to a file. HAProxy (`httplog`) writes to its standard
output, which is a file, as under systemd. There must be a line for every response. A run with any
error, or any response other than 2xx, voids its row.
";

/// Writes `bench.json`, `report.md` and a chart for each workload.
///
/// # Errors
/// The folder cannot be written to, or a chart cannot be drawn.
pub(crate) fn write(folder: &Path, report: &Report<'_>) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for outcome in report.workloads {
        chart::draw(outcome, &folder.join(chart_name(outcome)))?;
    }
    let json = serde_json::to_string_pretty(report)? + "\n";
    fs::write(folder.join("bench.json"), json)?;
    fs::write(folder.join("report.md"), page(report))?;
    Ok(())
}

fn chart_name(outcome: &Outcome) -> String {
    format!("{}.svg", outcome.workload)
}

/// Returns the page's text.
fn page(report: &Report<'_>) -> String {
    let mut page = String::from("# Benchmarks\n\n");
    let peers = report
        .versions
        .iter()
        .map(|(name, version)| format!("{name}: {version}"));
    let machine = report
        .machine
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let _ = write!(
        page,
        "Measured by `{}`: {} rounds, {} s for each run.\n\n",
        report.command, report.rounds, report.seconds
    );
    if report.quick {
        page.push_str("**A quick run: it shows that the harness works, and no more.**\n\n");
    }
    for line in machine.chain(peers) {
        let _ = writeln!(page, "- {line}");
    }
    let _ = write!(
        page,
        "\n## Targets\n\n{}\n## Method\n\n{METHOD}\n",
        aims_table(&report.aims).to_markdown()
    );
    page.push_str("| row | how it routes |\n|---|---|\n");
    for peer in peers::ALL {
        let _ = writeln!(page, "| {} | {} |", peer.name(), peer.about());
    }
    for outcome in report.workloads {
        let _ = write!(
            page,
            "\n## {}\n\n{}.\n\n    {}\n\n{}\n![{}: {}]({})\n",
            outcome.workload,
            capital(&outcome.about),
            outcome.command,
            table(outcome).to_markdown(),
            outcome.workload,
            outcome.unit.label(),
            chart_name(outcome)
        );
    }
    page.push_str("\n## Configurations\n\n`FOLDER` is a temporary folder, and ports are the system's choice.\n");
    for (name, text) in report.configurations {
        let _ = write!(
            page,
            "\n<details><summary>{name}</summary>\n\n```\n{}\n```\n\n</details>\n",
            text.trim_end()
        );
    }
    page
}

/// Returns the table of one workload, with its errors below it.
pub(crate) fn table(outcome: &Outcome) -> Table {
    let is_cpu = outcome.unit.is_cpu();
    let mut head = vec!["", outcome.unit.label()];
    if is_cpu {
        head.extend(["user", "system", "responses/s", "p50 ms", "p99 ms"]);
    }
    head.extend(["memory MiB", "pointsman ÷ it"]);
    if outcome.workload == "half" {
        head.push("p99: pointsman ÷ it");
    }
    let mut table = Table::new(&head);
    let subject = outcome.row("pointsman");
    for row in &outcome.rows {
        let failed = row.errors().next().is_some();
        let name = if failed {
            format!("!! {}", row.name)
        } else {
            row.name.clone()
        };
        let mut cells = vec![
            name,
            spread(row.summary(Measure::Main), outcome.unit.digits()),
        ];
        if is_cpu {
            cells.extend([
                median(row, Measure::User, outcome.unit.digits(), 1.0),
                median(row, Measure::System, outcome.unit.digits(), 1.0),
                median(row, Measure::Rate, 0, 1.0),
                median(row, Measure::P50, 2, 1e-3),
                median(row, Measure::P99, 2, 1e-3),
            ]);
        }
        cells.push(median(row, Measure::Proportional, 1, 1.0));
        let ratio = |measure| {
            let other = subject.filter(|subject| subject.name != row.name)?;
            other.ratio(row, measure)
        };
        cells.push(spread(ratio(Measure::Main), 2));
        if outcome.workload == "half" {
            cells.push(spread(ratio(Measure::P99), 2));
        }
        table.row(cells);
        for (round, error) in row.errors() {
            table.add_note(format!("!! {}, round {round}: {error}", row.name));
        }
        for (round, note) in row.notes() {
            table.add_note(format!("{}, round {round}: {note}", row.name));
        }
    }
    table
}

/// Returns the table of aims, as in issue 3.
pub(crate) fn aims_table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["figure", "at most", "found", "reached"]);
    for finding in findings {
        let unit = finding.unit;
        table.row(vec![
            finding.figure.to_owned(),
            format!("{} {unit}", finding.at_most),
            finding.found.map_or_else(String::new, |found| {
                let digits = if finding.at_most > 100.0 { 0 } else { 2 };
                format!("{} {unit}", spread(Some(found), digits))
            }),
            finding.verdict.label(),
        ]);
    }
    table
}

/// Formats the median, the least and the most.
fn spread(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or_else(String::new, |summary| {
        let Summary {
            median,
            least,
            most,
        } = summary;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    })
}

fn median(row: &Row, measure: Measure, digits: usize, factor: f64) -> String {
    row.summary(measure).map_or_else(String::new, |summary| {
        format!("{:.digits$}", summary.median * factor)
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

impl Unit {
    /// Returns the number of digits after the decimal point.
    fn digits(self) -> usize {
        match self {
            Self::MicrosecondsPerRequest
            | Self::MicrosecondsPerMessage
            | Self::MillisecondsToStart => 2,
            Self::MillisecondsPerGib
            | Self::MillisecondsPerMillionChunks
            | Self::BytesPerTunnel
            | Self::BytesPerConnection
            | Self::BytesPerTransfer => 0,
        }
    }
}

impl Report<'_> {
    /// Collects the settings, the tools and the results.
    pub(crate) fn new<'a>(
        tools: &super::tools::Tools,
        settings: &'a Settings,
        measured: &'a super::session::Measured,
    ) -> Report<'a> {
        Report {
            command: &settings.command,
            machine: super::tools::machine(),
            versions: tools.versions(),
            rounds: settings.rounds,
            seconds: settings.seconds,
            quick: settings.quick,
            aims: super::aims::judge(&measured.outcomes),
            workloads: &measured.outcomes,
            configurations: &measured.configurations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::Sample;
    use super::*;

    fn outcome() -> Outcome {
        let row = |name: &str, main: f64, errors: &[&str]| Row {
            name: name.to_owned(),
            samples: vec![Sample {
                round: 1,
                main: Some(main),
                user: Some(main / 4.0),
                system: Some(main * 0.75),
                p99_us: Some(1500.0),
                answered: 100,
                seconds: 1.0,
                errors: errors.iter().map(|&error| error.to_owned()).collect(),
                ..Sample::default()
            }],
        };
        Outcome {
            workload: "get".to_owned(),
            about: "small GET".to_owned(),
            unit: Unit::MicrosecondsPerRequest,
            command: "wrk".to_owned(),
            rows: vec![
                row("pointsman", 9.0, &[]),
                row("haproxy", 10.0, &["12 responses other than 2xx"]),
            ],
        }
    }

    #[test]
    fn rows() {
        let text = table(&outcome()).to_markdown();
        assert!(
            text.contains("| !! haproxy | 10.00 (10.00–10.00) | 2.50 | 7.50 | 100 |  | 1.50 |  | 0.90 (0.90–0.90) |"),
            "{text}"
        );
        assert!(
            text.contains("!! haproxy, round 1: 12 responses other than 2xx"),
            "{text}"
        );
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = [outcome()];
        let report = Report {
            command: "cargo xtask bench --quick",
            machine: vec![("cores".to_owned(), "2".to_owned())],
            versions: vec![("wrk".to_owned(), "wrk 4".to_owned())],
            rounds: 1,
            seconds: 1,
            quick: true,
            aims: super::super::aims::judge(&outcomes),
            workloads: &outcomes,
            configurations: &[("nginx".to_owned(), "events {}\n".to_owned())],
        };
        write(folder.path(), &report).unwrap();
        let page = fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(
            page.contains("![get: CPU µs per request](get.svg)"),
            "{page}"
        );
        let chart = fs::read_to_string(folder.path().join("get.svg")).unwrap();
        assert!(chart.contains("pointsman") && chart.contains("<rect"));
        assert!(folder.path().join("bench.json").exists());
    }
}

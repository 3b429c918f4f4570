//! The aims that the figures must reach, as data.
//!
//! Must not measure. Called by `report`.

use serde::Serialize;

use super::results::{Measure, Outcome, Row, Summary};
use super::workloads::{CACHED, CALM, QUIET, SPINNER};

/// One line of the table.
struct Aim {
    figure: &'static str,
    at_most: f64,
    unit: &'static str,
    source: FigureSource,
}

/// Source of the figure, which is always Pointsman's.
enum FigureSource {
    /// Pointsman's figure divided by that of another row, within rounds.
    Ratio(&'static str, Measure, &'static str),
    /// The most that any other row's figure exceeds this row's by, within rounds.
    Rise(&'static str, Measure, &'static str),
    /// The figure itself.
    Absolute(&'static str, Measure),
    /// A figure from another command.
    Elsewhere(&'static str),
}

/// The row that the aims are about.
const SUBJECT: &str = "pointsman";

const AIMS: &[Aim] = &[
    Aim::ratio(
        "CPU of a kept-alive request, against HAProxy's ACL",
        0.8,
        "get",
        "haproxy",
    ),
    Aim::ratio("the same against nginx's `map`", 0.8, "get", "nginx"),
    Aim::ratio(
        "the same against HAProxy in `mode tcp`, the floor",
        1.1,
        "get",
        "haproxy-tcp",
    ),
    Aim::ratio(
        "the same against Envoy with a Wasm plugin",
        0.2,
        "get",
        "envoy-wasm",
    ),
    Aim::ratio(
        "the same when every decision misses the cache, against our own cached run",
        1.1,
        "miss",
        CACHED,
    ),
    Aim::ratio(
        "CPU of a kept-alive request with the access log on, against off",
        1.1,
        "log",
        QUIET,
    ),
    Aim::ratio(
        "CPU of a new connection, against HAProxy",
        0.9,
        "connect",
        "haproxy",
    ),
    Aim::ratio(
        "CPU of a GiB of 10 MiB bodies down, against HAProxy",
        1.1,
        "body-10m-down",
        "haproxy",
    ),
    Aim::ratio(
        "CPU of a GiB of 10 MiB bodies up, against HAProxy",
        1.1,
        "body-10m-up",
        "haproxy",
    ),
    Aim {
        figure: "p99 at half of the highest load, against HAProxy",
        at_most: 1.0,
        unit: "×",
        source: FigureSource::Ratio("half", Measure::P99, "haproxy"),
    },
    Aim {
        figure: "p99 while a plugin is replaced every 200 ms, against the same without",
        at_most: 1.1,
        unit: "×",
        source: FigureSource::Ratio("swap", Measure::P99, CALM),
    },
    Aim {
        figure: "rise of p99 next to the worst hostile plugin, against a busy loop next to it",
        at_most: 10_000.0,
        unit: "µs",
        source: FigureSource::Rise("hostile", Measure::P99, SPINNER),
    },
    Aim::elsewhere("decision from the cache", 150.0),
    Aim::elsewhere("decision by `host-suffix`, uncached", 800.0),
    Aim {
        figure: "CPU of 1,000,000 chunks of one byte up",
        at_most: 100.0,
        unit: "ms",
        source: FigureSource::Absolute("chunks-up", Measure::Main),
    },
    Aim {
        figure: "bytes of them that reach the server",
        at_most: 1.05,
        unit: "MB",
        source: FigureSource::Absolute("chunks-up", Measure::Upstream),
    },
    Aim {
        figure: "private memory of a stalled download",
        at_most: 65_536.0,
        unit: "bytes",
        source: FigureSource::Absolute("stalled-down", Measure::Main),
    },
    Aim {
        figure: "private memory of a stalled upload",
        at_most: 65_536.0,
        unit: "bytes",
        source: FigureSource::Absolute("stalled-up", Measure::Main),
    },
    Aim {
        figure: "private memory of an idle kept-alive connection",
        at_most: 4096.0,
        unit: "bytes",
        source: FigureSource::Absolute("kept-alive", Measure::Main),
    },
    Aim::ratio("the same against HAProxy", 1.0, "kept-alive", "haproxy"),
    Aim {
        figure: "private memory of an idle WebSocket",
        at_most: 2048.0,
        unit: "bytes",
        source: FigureSource::Absolute("ws-idle", Measure::Main),
    },
    Aim::ratio("the same against HAProxy", 1.0, "ws-idle", "haproxy"),
    Aim::ratio("the same against nginx", 1.0, "ws-idle", "nginx"),
    Aim {
        figure: "resident memory at start with `host-suffix`",
        at_most: 20.0,
        unit: "MiB",
        source: FigureSource::Absolute("start", Measure::Resident),
    },
    Aim {
        figure: "start to first response, compiled code cached",
        at_most: 20.0,
        unit: "ms",
        source: FigureSource::Absolute("start", Measure::Main),
    },
];

impl Aim {
    const fn ratio(
        figure: &'static str,
        at_most: f64,
        workload: &'static str,
        against: &'static str,
    ) -> Self {
        Self {
            figure,
            at_most,
            unit: "×",
            source: FigureSource::Ratio(workload, Measure::Main, against),
        }
    }

    const fn elsewhere(figure: &'static str, at_most: f64) -> Self {
        Self {
            figure,
            at_most,
            unit: "ns",
            source: FigureSource::Elsewhere("the micro-benchmarks"),
        }
    }
}

/// One line of the table, with the measured result.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) figure: &'static str,
    pub(crate) at_most: f64,
    pub(crate) unit: &'static str,
    pub(crate) found: Option<Summary>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// A row that it is based on has errors.
    Void,
    NotMeasured,
    /// Measured by another command.
    Elsewhere(&'static str),
}

impl Verdict {
    /// Returns the verdict's text in the table.
    pub(crate) fn label(self) -> String {
        match self {
            Self::Reached => "yes".to_owned(),
            Self::Missed => "NO".to_owned(),
            Self::Void => "errors".to_owned(),
            Self::NotMeasured => "not measured".to_owned(),
            Self::Elsewhere(place) => format!("see {place}"),
        }
    }
}

/// Compares every aim with the measured figures.
pub(crate) fn judge(outcomes: &[Outcome]) -> Vec<Finding> {
    AIMS.iter()
        .map(|aim| {
            let (found, verdict) = aim.judge(outcomes);
            Finding {
                figure: aim.figure,
                at_most: aim.at_most,
                unit: aim.unit,
                found,
                verdict,
            }
        })
        .collect()
}

impl Aim {
    fn judge(&self, outcomes: &[Outcome]) -> (Option<Summary>, Verdict) {
        let row = |workload: &str, name: &str| {
            let outcome = outcomes.iter().find(|one| one.workload == workload)?;
            outcome.row(name)
        };
        let (found, rows) = match self.source {
            FigureSource::Elsewhere(place) => return (None, Verdict::Elsewhere(place)),
            FigureSource::Ratio(workload, measure, against) => {
                let rows = [row(workload, SUBJECT), row(workload, against)];
                let ratio = || rows[0]?.ratio(rows[1]?, measure);
                (ratio(), rows)
            }
            FigureSource::Rise(workload, measure, against) => {
                let outcome = outcomes.iter().find(|one| one.workload == workload);
                return outcome.map_or((None, Verdict::NotMeasured), |outcome| {
                    self.judge_rise(outcome, measure, against)
                });
            }
            FigureSource::Absolute(workload, measure) => {
                let row = row(workload, SUBJECT);
                (row.and_then(|row| row.summary(measure)), [row, None])
            }
        };
        (found, self.verdict(found, rows.into_iter().flatten()))
    }

    fn judge_rise(
        &self,
        outcome: &Outcome,
        measure: Measure,
        against: &str,
    ) -> (Option<Summary>, Verdict) {
        let base = outcome.row(against);
        let others = outcome.rows.iter().filter(|row| row.name != against);
        let rises = others.filter_map(|row| row.rise(base?, measure));
        let worst = rises.max_by(|one, other| one.median.total_cmp(&other.median));
        (worst, self.verdict(worst, &outcome.rows))
    }

    fn verdict<'a>(
        &self,
        found: Option<Summary>,
        rows: impl IntoIterator<Item = &'a Row>,
    ) -> Verdict {
        let mut rows = rows.into_iter();
        match found {
            _ if rows.any(|row| row.errors().next().is_some()) => Verdict::Void,
            None => Verdict::NotMeasured,
            Some(found) if found.median <= self.at_most => Verdict::Reached,
            Some(_) => Verdict::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::Sample;
    use super::super::workloads::{self, Unit};
    use super::*;
    use Verdict::{Missed, NotMeasured, Reached, Void};

    fn outcome(rows: &[(&str, f64, &[&str])]) -> Outcome {
        let rows = rows.iter().map(|(name, main, errors)| Row {
            name: (*name).to_owned(),
            samples: vec![Sample {
                round: 1,
                main: Some(*main),
                errors: errors.iter().map(|&error| error.to_owned()).collect(),
                ..Sample::default()
            }],
        });
        Outcome {
            workload: "get".to_owned(),
            about: String::new(),
            unit: Unit::MicrosecondsPerRequest,
            command: String::new(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn verdicts() {
        let check = |ours: f64, errors: &[&str], expected: [Verdict; 3]| {
            let outcome = outcome(&[
                ("pointsman", ours, &[]),
                ("haproxy", 10.0, &[]),
                ("nginx", 10.0, errors),
            ]);
            let found: Vec<_> = judge(&[outcome]).iter().map(|one| one.verdict).collect();
            assert_eq!(found[..3], expected, "{ours}");
        };
        check(8.0, &[], [Reached, Reached, NotMeasured]);
        check(8.5, &["x"], [Missed, Void, NotMeasured]);
    }

    #[test]
    fn every_row_is_there() {
        for aim in AIMS {
            let (workload, against) = match aim.source {
                FigureSource::Ratio(workload, _, against)
                | FigureSource::Rise(workload, _, against) => (workload, against),
                FigureSource::Absolute(workload, _) => (workload, SUBJECT),
                FigureSource::Elsewhere(_) => continue,
            };
            let workload = workloads::ALL.iter().find(|one| one.name == workload);
            let specs = workload.unwrap().specs(super::super::peers::ALL);
            assert!(specs.iter().any(|spec| spec.name == against), "{against}");
        }
    }
}

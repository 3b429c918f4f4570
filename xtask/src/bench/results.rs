//! The measurements and what follows from them: medians, spreads, and ratios within rounds.
//!
//! Machines drift from minute to minute, so figures of two proxies are compared only within a
//! round. Must not measure. Called by `session`, `aims`, `report`.

use serde::Serialize;

use super::load::Load;
use super::measure::{Cpu, Memory, count};
use super::workloads::{Unit, Workload};

/// One run of one row.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Number of the round, from 1.
    pub(crate) round: usize,
    /// The main figure, in the workload's unit; `None` if the run failed.
    pub(crate) main: Option<f64>,
    /// Parts of the main figure in user space and in the kernel, if that figure is CPU time.
    pub(crate) user: Option<f64>,
    pub(crate) system: Option<f64>,
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) memory: Option<Memory>,
    /// Bytes of bodies that reached the server, per request, if they are counted.
    pub(crate) upstream: Option<u64>,
    /// Errors; if there are any, the figures must not be used.
    pub(crate) errors: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// One row of a workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

/// All rows of a workload.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) workload: String,
    pub(crate) about: String,
    pub(crate) unit: Unit,
    /// The command that made the load.
    pub(crate) command: String,
    pub(crate) rows: Vec<Row>,
}

/// One of the figures of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Main,
    User,
    System,
    Rate,
    P50,
    P99,
    /// Data that reached the server, in MB.
    Upstream,
    /// Resident memory, in MiB.
    Resident,
    /// Resident memory in MiB, with shared memory divided among the processes.
    Proportional,
}

/// Summary of several figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Sample {
    /// Returns a sample that contains only the error.
    pub(crate) fn failed(round: usize, error: &anyhow::Error) -> Self {
        Self {
            round,
            errors: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    /// Returns a sample of a load for which the proxy used `cpu`.
    pub(crate) fn of_load(
        workload: &Workload,
        round: usize,
        load: Load,
        cpu: Cpu,
        memory: Memory,
    ) -> Self {
        let parts = match workload.unit() {
            Unit::MillisecondsPerGib => {
                count(load.answered * workload.bytes()) / f64::from(1 << 30) * 1e3
            }
            Unit::MillisecondsPerMillionChunks => {
                count(load.answered * workload.chunks()) / 1e6 * 1e3
            }
            _ => count(load.answered),
        };
        let each = |us: f64| (parts > 0.0).then(|| us / parts);
        Self {
            round,
            main: each(cpu.total_us()),
            user: each(cpu.user_us),
            system: each(cpu.system_us),
            answered: load.answered,
            seconds: load.seconds,
            // Not every client times its responses.
            p50_us: Some(load.p50_us).filter(|us| *us > 0.0),
            p99_us: Some(load.p99_us).filter(|us| *us > 0.0),
            memory: Some(memory),
            upstream: load.upstream,
            errors: load.errors,
            notes: load.notes,
        }
    }

    fn value(&self, measure: Measure) -> Option<f64> {
        let mib = |bytes: u64| count(bytes) / f64::from(1 << 20);
        match measure {
            Measure::Main => self.main,
            Measure::User => self.user,
            Measure::System => self.system,
            Measure::Rate => (self.seconds > 0.0).then(|| count(self.answered) / self.seconds),
            Measure::P50 => self.p50_us,
            Measure::P99 => self.p99_us,
            Measure::Upstream => Some(count(self.upstream?) / 1e6),
            Measure::Resident => Some(mib(self.memory?.resident)),
            Measure::Proportional => Some(mib(self.memory?.proportional)),
        }
    }
}

impl Row {
    /// Summarizes the figure over all rounds that have it.
    pub(crate) fn summary(&self, measure: Measure) -> Option<Summary> {
        Summary::of(self.samples.iter().filter_map(|one| one.value(measure)))
    }

    /// Summarizes this row's figure divided by another's, each within its round.
    pub(crate) fn ratio(&self, other: &Self, measure: Measure) -> Option<Summary> {
        Summary::of(self.samples.iter().filter_map(|sample| {
            let other = other.samples.iter().find(|one| one.round == sample.round)?;
            let other = other.value(measure).filter(|value| *value > 0.0)?;
            Some(sample.value(measure)? / other)
        }))
    }

    /// Summarizes the difference between this row's figure and another's, each within its round.
    pub(crate) fn rise(&self, other: &Self, measure: Measure) -> Option<Summary> {
        Summary::of(self.samples.iter().filter_map(|sample| {
            let other = other.samples.iter().find(|one| one.round == sample.round)?;
            Some(sample.value(measure)? - other.value(measure)?)
        }))
    }

    /// Returns all errors, each with its round.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (usize, &str)> {
        self.samples
            .iter()
            .flat_map(|one| one.errors.iter().map(|error| (one.round, error.as_str())))
    }

    /// Returns the notes for the reader, each with its round.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.samples
            .iter()
            .flat_map(|one| one.notes.iter().map(|note| (one.round, note.as_str())))
    }
}

impl Outcome {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Summary {
    /// Summarizes figures; `None` if there are none.
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(*figures.get(middle.checked_sub(1)?)?, figures[middle])
        } else {
            figures[middle]
        };
        Some(Self {
            median,
            least: figures[0],
            most: figures[figures.len() - 1],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figures: &[(usize, f64)]) -> Row {
        let sample = |&(round, main)| Sample {
            round,
            main: Some(main),
            ..Sample::default()
        };
        Row {
            name: "x".to_owned(),
            samples: figures.iter().map(sample).collect(),
        }
    }

    #[test]
    fn medians() {
        let check = |figures: &[f64], expected: Option<(f64, f64, f64)>| {
            let found = Summary::of(figures.iter().copied());
            let found = found.map(|found| (found.least, found.median, found.most));
            assert_eq!(found, expected, "{figures:?}");
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[3.0, 1.0, 2.0], Some((1.0, 2.0, 3.0)));
        check(&[4.0, 1.0], Some((1.0, 2.5, 4.0)));
    }

    #[test]
    fn ratios_stay_within_a_round() {
        // The machine was twice as slow in round 2; round 3 failed for `ours`.
        let ours = row(&[(1, 9.0), (2, 18.0), (4, 8.0)]);
        let theirs = row(&[(1, 10.0), (2, 20.0), (3, 1.0), (4, 10.0)]);
        let ratio = ours.ratio(&theirs, Measure::Main).unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.8, 0.9, 0.9));
        assert_eq!(ours.ratio(&theirs, Measure::P99), None);
        let rise = ours.rise(&theirs, Measure::Main).unwrap();
        assert_eq!((rise.least, rise.median, rise.most), (-2.0, -2.0, -1.0));
    }

    #[test]
    fn figures_of_a_load() {
        let find = |name| {
            super::super::workloads::ALL
                .iter()
                .find(|one| one.name == name)
        };
        let load = || Load {
            answered: 2048,
            seconds: 2.0,
            ..Load::default()
        };
        let cpu = Cpu {
            user_us: 2048.0,
            system_us: 4096.0,
        };
        let check = |name, expected: f64| {
            let sample = Sample::of_load(find(name).unwrap(), 1, load(), cpu, Memory::default());
            let main = sample.main.unwrap();
            assert!((main - expected).abs() < 1e-9, "{name}: {main}");
            assert_eq!(sample.value(Measure::Rate), Some(1024.0));
        };
        check("get", 3.0);
        // 2048 bodies of 64 KiB are an eighth of a GiB.
        check("body-64k-up", 6.144 * 8.0);
    }
}

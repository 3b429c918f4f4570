//! What the kernel knows of a proxy: CPU time and memory of all its processes.
//!
//! Owns the reading of /proc. Must not know what the proxy was doing. Called by `session`.

use std::fs;

use anyhow::{Context as _, ensure};
use nix::sys::time::TimeValLike as _;
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::Serialize;

/// CPU time that a tree of processes has used since its start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    processes: Vec<i32>,
    /// Of the processes that run, from their clocks: exact.
    nanoseconds: u64,
    ticks: Ticks,
}

/// What /proc counts in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
    /// User and system time of children that have ended.
    reaped: u64,
}

/// CPU time between two snapshots, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
}

/// Memory of a tree of processes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident, with what processes share counted for each.
    pub(crate) resident: u64,
    /// Resident, with what processes share divided among them.
    pub(crate) proportional: u64,
    /// What would be free if the processes ended.
    pub(crate) private: u64,
}

impl Snapshot {
    /// Takes one of `root` and all its descendants.
    pub(crate) fn take(root: Pid) -> anyhow::Result<Self> {
        let processes = tree(root)?;
        let mut nanoseconds = 0;
        let mut ticks = Ticks::default();
        for &process in &processes {
            let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process))
                .and_then(ClockId::now)
                .with_context(|| format!("CPU clock of process {process}"))?;
            nanoseconds += u64::try_from(clock.num_nanoseconds())?;
            let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
            let more = Stat::parse(&text).context("/proc/PID/stat")?.ticks;
            ticks.user += more.user;
            ticks.system += more.system;
            ticks.reaped += more.reaped;
        }
        Ok(Self {
            processes,
            nanoseconds,
            ticks,
        })
    }

    /// CPU time since `earlier`.
    ///
    /// The sum comes from the processes' clocks; only its division into user and system time
    /// comes from ticks.
    ///
    /// # Errors
    /// A process has come or gone: the sum would be wrong.
    pub(crate) fn since(&self, earlier: &Self) -> anyhow::Result<Cpu> {
        ensure!(
            self.processes == earlier.processes,
            "its processes changed while it was measured: {:?} before, {:?} after",
            earlier.processes,
            self.processes
        );
        let tick = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks here")?;
        let tick = 1e9 / count(u64::try_from(tick)?);
        let reaped = count(self.ticks.reaped - earlier.ticks.reaped) * tick;
        let total = count(self.nanoseconds - earlier.nanoseconds) + reaped;
        let user = count(self.ticks.user - earlier.ticks.user);
        let system = count(self.ticks.system - earlier.ticks.system);
        let share = if user + system > 0.0 {
            user / (user + system)
        } else {
            0.5
        };
        Ok(Cpu {
            user_us: total * share / 1e3,
            system_us: total * (1.0 - share) / 1e3,
        })
    }
}

impl Cpu {
    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Memory {
    /// That of `root` and all its descendants.
    pub(crate) fn of(root: Pid) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for process in tree(root)? {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
                .with_context(|| format!("memory of process {process}"))?;
            let one = Self::parse(&text).context("/proc/PID/smaps_rollup")?;
            sum.resident += one.resident;
            sum.proportional += one.proportional;
            sum.private += one.private;
        }
        Ok(sum)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self {
            resident: field("Rss:")?,
            proportional: field("Pss:")?,
            private: field("Private_Clean:")? + field("Private_Dirty:")?,
        })
    }
}

/// What is used here of /proc/PID/stat.
struct Stat {
    parent: i32,
    ticks: Ticks,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name, in parentheses, with anything in it.
        let after = &text[text.rfind(')')? + 1..];
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and two fields are gone.
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = |number: usize| field(number)?.parse::<u64>().ok();
        Some(Self {
            parent: field(4)?.parse().ok()?,
            ticks: Ticks {
                user: ticks(14)?,
                system: ticks(15)?,
                reaped: ticks(16)? + ticks(17)?,
            },
        })
    }
}

/// `root` and all its descendants, in order.
fn tree(root: Pid) -> anyhow::Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may have ended since.
        if let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat"))
            && let Some(stat) = Stat::parse(&text)
        {
            parents.push((process, stat.parent));
        }
    }
    let tree = descendants(root.as_raw(), &parents);
    ensure!(
        parents.iter().any(|(process, _)| *process == root.as_raw()),
        "process {root} has ended"
    );
    Ok(tree)
}

fn descendants(root: i32, parents: &[(i32, i32)]) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(process, _)| *process),
        );
        next += 1;
    }
    found.sort_unstable();
    found
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^53, or need no more than 53 bits"
)]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_any_name() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 3 4 20 0 2 0 99 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.parent, 7);
        assert_eq!(
            stat.ticks,
            Ticks {
                user: 150,
                system: 50,
                reaped: 7
            }
        );
        assert!(Stat::parse("42 (x").is_none());
    }

    #[test]
    fn rollup() {
        let text = "00-ff ---p 00000000 00:00 0 [rollup]\nRss:  2048 kB\nPss:  1024 kB\n\
                    Pss_Anon: 1 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty:   100 kB\n";
        let memory = Memory {
            resident: 2048 * 1024,
            proportional: 1024 * 1024,
            private: 101 * 1024,
        };
        assert_eq!(Memory::parse(text), Some(memory));
        assert_eq!(Memory::parse("Rss: 1 kB"), None);
    }

    #[test]
    fn tree_of_processes() {
        let parents = [(1, 0), (20, 1), (22, 20), (21, 20), (30, 1), (23, 22)];
        assert_eq!(descendants(20, &parents), [20, 21, 22, 23]);
        assert_eq!(descendants(30, &parents), [30]);
    }

    #[test]
    fn difference() {
        let snapshot = |nanoseconds, user, system| Snapshot {
            processes: vec![1],
            nanoseconds,
            ticks: Ticks {
                user,
                system,
                reaped: 0,
            },
        };
        let cpu = snapshot(5_000_000, 8, 6)
            .since(&snapshot(1_000_000, 7, 3))
            .unwrap();
        assert!((cpu.user_us - 1000.0).abs() < 1e-6, "{cpu:?}");
        assert!((cpu.system_us - 3000.0).abs() < 1e-6, "{cpu:?}");
        let other = Snapshot {
            processes: vec![1, 2],
            ..snapshot(0, 0, 0)
        };
        assert!(snapshot(1, 1, 1).since(&other).is_err());
    }

    #[test]
    fn this_very_process() {
        let before = Snapshot::take(Pid::this()).unwrap();
        assert!(before.nanoseconds > 0);
        assert!(Memory::of(Pid::this()).unwrap().private > 0);
    }
}

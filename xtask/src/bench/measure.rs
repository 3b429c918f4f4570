//! The kernel's figures for a proxy: CPU time and memory of all its processes.
//!
//! Owns the reading of /proc. Must not depend on what the proxy was doing. Called by `session`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, ensure};
use nix::sys::time::TimeValLike as _;
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::Serialize;

/// CPU time that each process of a tree has used since its start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<i32, Usage>);

/// CPU time of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    /// Time from the process's clock, which is exact.
    nanoseconds: u64,
    ticks: Ticks,
}

/// Whether processes of a proxy may come and go while it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// All processes stay; any other would make the figures wrong.
    Stay,
    /// Compilers of plugins come and go. Their CPU time is counted separately.
    ComeAndGo,
}

/// CPU time that a tree of processes used between two snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spent {
    /// Time of the processes that exist in both snapshots.
    pub(crate) own: Cpu,
    /// Time of processes that came or went between the snapshots, in microseconds. For processes
    /// that have ended, it is exact to a clock tick.
    pub(crate) children_us: f64,
}

/// Times that /proc counts in clock ticks.
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
    /// Resident memory; memory that processes share is counted for each of them.
    pub(crate) resident: u64,
    /// Resident memory; memory that processes share is divided among them.
    pub(crate) proportional: u64,
    /// Memory that would be free if the processes ended.
    pub(crate) private: u64,
}

impl Snapshot {
    /// Takes a snapshot of `root` and all its descendants.
    ///
    /// # Errors
    /// `root` has ended, or a process ends while it is read, unless processes can come and go.
    pub(crate) fn take(root: Pid, children: Children) -> anyhow::Result<Self> {
        let mut usages = BTreeMap::new();
        for process in tree(root)? {
            match Usage::of(process) {
                Ok(usage) => drop(usages.insert(process, usage)),
                Err(_) if children == Children::ComeAndGo && process != root.as_raw() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(usages))
    }

    /// Returns the CPU time since `earlier`.
    ///
    /// The sum comes from the processes' clocks; only its division into user and system time comes
    /// from ticks.
    ///
    /// # Errors
    /// A process that should have stayed has come or gone: the sum would be wrong.
    pub(crate) fn since(&self, earlier: &Self, children: Children) -> anyhow::Result<Spent> {
        ensure!(
            children == Children::ComeAndGo || self.0.keys().eq(earlier.0.keys()),
            "its processes changed while it was measured: {:?} before, {:?} after",
            earlier.0.keys(),
            self.0.keys()
        );
        let tick = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks here")?;
        let tick = 1e9 / count(u64::try_from(tick)?);
        let (mut total, mut user, mut system, mut reaped) = (0.0, 0.0, 0.0, 0.0);
        for (process, after) in &self.0 {
            let Some(before) = earlier.0.get(process) else {
                reaped += count(after.nanoseconds);
                continue;
            };
            total += count(after.nanoseconds - before.nanoseconds);
            user += count(after.ticks.user - before.ticks.user);
            system += count(after.ticks.system - before.ticks.system);
            reaped += count(after.ticks.reaped - before.ticks.reaped) * tick;
        }
        // The reaped time of processes that are now gone also includes the time before `earlier`.
        let gone = earlier.0.iter();
        let gone = gone.filter(|(process, _)| !self.0.contains_key(process));
        reaped -= gone.map(|(_, usage)| count(usage.nanoseconds)).sum::<f64>();
        let share = if user + system > 0.0 {
            user / (user + system)
        } else {
            0.5
        };
        Ok(Spent {
            own: Cpu {
                user_us: total * share / 1e3,
                system_us: total * (1.0 - share) / 1e3,
            },
            children_us: reaped.max(0.0) / 1e3,
        })
    }
}

impl Usage {
    fn of(process: i32) -> anyhow::Result<Self> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process))
            .and_then(ClockId::now)
            .with_context(|| format!("CPU clock of process {process}"))?;
        let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Ok(Self {
            nanoseconds: u64::try_from(clock.num_nanoseconds())?,
            ticks: Stat::parse(&text).context("/proc/PID/stat")?.ticks,
        })
    }
}

impl Cpu {
    pub(crate) fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Memory {
    /// Returns the memory of `root` and all its descendants, or of `root` alone if the descendants
    /// come and go.
    pub(crate) fn of(root: Pid, children: Children) -> anyhow::Result<Self> {
        let processes = match children {
            Children::Stay => tree(root)?,
            Children::ComeAndGo => vec![root.as_raw()],
        };
        let mut sum = Self::default();
        for process in processes {
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

/// The used parts of /proc/PID/stat.
struct Stat {
    parent: i32,
    ticks: Ticks,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which can contain anything.
        let after = &text[text.rfind(')')? + 1..];
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and two fields have been removed.
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

/// Returns `root` and all its descendants, in order.
fn tree(root: Pid) -> anyhow::Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // The process may have ended after the directory was read.
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

/// Converts a count to a floating-point number.
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
        let usage = |milliseconds: u64, user, system, reaped| Usage {
            nanoseconds: milliseconds * 1_000_000,
            ticks: Ticks {
                user,
                system,
                reaped,
            },
        };
        let snapshot = |usages: &[(i32, Usage)]| Snapshot(usages.iter().copied().collect());
        let check = |before: &[(i32, Usage)], after: &[(i32, Usage)], children, expected| {
            let spent = snapshot(after).since(&snapshot(before), children).ok();
            let spent = spent.map(|spent| {
                let own = spent.own;
                [own.user_us, own.system_us, spent.children_us].map(f64::round)
            });
            assert_eq!(spent, expected, "{before:?} {after:?}");
        };
        let (before, after) = ((1, usage(1, 7, 3, 0)), (1, usage(5, 8, 6, 0)));
        let alone = Some([1000.0, 3000.0, 0.0]);
        check(&[before], &[after], Children::Stay, alone);
        let child = (2, usage(20, 2, 0, 0));
        check(&[before], &[after, child], Children::Stay, None);
        let with_child = Some([1000.0, 3000.0, 20_000.0]);
        check(&[before], &[after, child], Children::ComeAndGo, with_child);
        // The child ran for another 10 ms and ended; a tick is 10 ms.
        let reaped = (1, usage(5, 8, 6, 3));
        let rest = Some([1000.0, 3000.0, 10_000.0]);
        check(&[before, child], &[reaped], Children::ComeAndGo, rest);
    }

    #[test]
    fn this_very_process() {
        let before = Snapshot::take(Pid::this(), Children::ComeAndGo).unwrap();
        assert!(before.0[&Pid::this().as_raw()].nanoseconds > 0);
        assert!(
            Memory::of(Pid::this(), Children::ComeAndGo)
                .unwrap()
                .private
                > 0
        );
    }
}

//! Limits on one compiler, and the command-line arguments that pass them to its process.

use std::time::Duration;

/// Default of [`CompileLimits::memory`]: about four times what the largest plugins (Python) need.
const DEFAULT_MEMORY: u64 = 1 << 30;

/// Default of [`CompileLimits::time`]: about ten times what Python plugins need on a slow machine.
const DEFAULT_TIME: Duration = Duration::from_mins(2);

/// Memory and time limits of one compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Maximum writable memory, in bytes.
    ///
    /// Default 1 GiB.
    pub memory: u64,
    /// Maximum total processor time of the compiler's threads, rounded up to whole seconds.
    ///
    /// Default 2 min.
    pub time: Duration,
}

impl CompileLimits {
    /// The default limits.
    pub const DEFAULT: CompileLimits = CompileLimits {
        memory: DEFAULT_MEMORY,
        time: DEFAULT_TIME,
    };

    /// Returns [`time`](Self::time) in whole seconds, at least one.
    pub(super) fn seconds(self) -> u64 {
        let rest = u64::from(self.time.subsec_nanos() > 0);
        self.time.as_secs().saturating_add(rest).max(1)
    }

    /// Returns the command-line flags that pass the limits to the subcommand that calls
    /// [`work`](super::work::work).
    pub(super) fn arguments(self) -> [String; 2] {
        [
            format!("--memory={}", self.memory),
            format!("--seconds={}", self.seconds()),
        ]
    }
}

/// Scheduling priority of a compiler process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// `SCHED_IDLE`: runs only when nothing else wants the processor.
    Idle,
    /// The priority of the thread that started the compiler.
    Inherited,
}

impl Priority {
    /// Returns the command-line flags that pass the priority to the subcommand that calls
    /// [`work`](super::work::work).
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Priority::Idle => &["--idle"],
            Priority::Inherited => &[],
        }
    }
}

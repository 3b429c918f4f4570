//! Limits on one compiler, and the arguments that pass them to its process.

use std::time::Duration;

/// Default of [`CompileLimits::memory`]: some four times what the largest plugins need, those in Python.
const DEFAULT_MEMORY: u64 = 1 << 30;

/// Default of [`CompileLimits::time`]: some ten times what plugins in Python need on a slow machine.
const DEFAULT_TIME: Duration = Duration::from_mins(2);

/// Memory and time of one compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of memory that it may write to.
    ///
    /// Default 1 GiB.
    pub memory: u64,
    /// Processor time, over all its threads; counted in seconds, rounded up.
    ///
    /// Default 2 min.
    pub time: Duration,
}

impl CompileLimits {
    /// The defaults.
    pub const DEFAULT: CompileLimits = CompileLimits {
        memory: DEFAULT_MEMORY,
        time: DEFAULT_TIME,
    };

    /// [`time`](Self::time) in whole seconds, at least one.
    pub(super) fn seconds(self) -> u64 {
        let rest = u64::from(self.time.subsec_nanos() > 0);
        self.time.as_secs().saturating_add(rest).max(1)
    }

    /// The flags that [`work`](super::work::work)'s command has for them.
    pub(super) fn arguments(self) -> [String; 2] {
        [
            format!("--memory={}", self.memory),
            format!("--seconds={}", self.seconds()),
        ]
    }
}

/// How a compiler's process is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// `SCHED_IDLE`: it gets what nobody else wants.
    Idle,
    /// As the thread that started it.
    Inherited,
}

impl Priority {
    /// The flags that [`work`](super::work::work)'s command has for it.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Priority::Idle => &["--idle"],
            Priority::Inherited => &[],
        }
    }
}

//! A plugin in service: one load of one file, with one configuration.
//!
//! Shared by all workers; made by `versions`, asked by `router`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::breaker::{Admission, Breaker};
use super::stats::{Counters, Stats};
use crate::config::{DEFAULT_FAULT_WINDOW, DEFAULT_MAX_FAULTS, Isolation, OnFault};
use crate::plugin::{Backends, Fault, Instance, Plugin, Settings};

/// An instance that takes longer than this to make is made beside the worker, and requests
/// go by `on_fault` until it is there.
const QUICK: Duration = Duration::from_millis(1);

/// How instances are used, and what becomes of faults.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long an instance is used.
    pub isolation: Isolation,
    /// Where a request goes on which the plugin failed.
    pub on_fault: OnFault,
    /// So many faults in `window` end the version's service.
    pub max_faults: u32,
    /// See `max_faults`.
    pub window: Duration,
}

/// What a version is made from.
#[derive(Debug)]
pub struct Draft {
    /// Counts from 1 for each frontend.
    pub number: u32,
    /// The compiled component.
    pub plugin: Plugin,
    /// How it is run.
    pub settings: Settings,
    /// How it is used beyond that.
    pub policy: Policy,
    /// What it is told about backends.
    pub backends: Arc<dyn Backends>,
    /// How many workers count for it.
    pub workers: usize,
    /// Where its file came from, for people.
    pub source: String,
    /// Who hears of what workers cannot mend by themselves; None: nobody.
    pub notices: Option<mpsc::UnboundedSender<Notice>>,
}

impl Draft {
    /// A first version for one worker, with the default policy, of which nobody hears.
    pub fn new(plugin: Plugin, settings: Settings, backends: Arc<dyn Backends>) -> Draft {
        Draft {
            number: 1,
            source: plugin.name().to_owned(),
            plugin,
            settings,
            policy: Policy {
                isolation: Isolation::Instance,
                on_fault: OnFault::Reject,
                max_faults: DEFAULT_MAX_FAULTS,
                window: DEFAULT_FAULT_WINDOW,
            },
            backends,
            workers: 1,
            notices: None,
        }
    }
}

/// What a worker cannot do, or not by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The frontend's name.
    pub frontend: String,
    /// The version's number.
    pub number: u32,
    /// What is the matter.
    pub matter: Matter,
}

/// See [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// It had too many faults.
    Failing,
    /// This worker needs a new instance of it.
    NeedsInstance(usize),
}

/// A plugin in service.
#[derive(Debug)]
pub struct Version {
    draft: Draft,
    since: SystemTime,
    breaker: Breaker,
    stats: Stats,
    /// Processor time that making an instance took: the thread that does it has to
    /// wait for others.
    start_time: Duration,
}

impl Version {
    /// Makes an instance, to see whether that can be done and how long it takes.
    ///
    /// # Errors
    /// What the plugin did wrong while it was made or configured.
    pub fn try_new(draft: Draft) -> Result<(Version, Instance), Fault> {
        let mut version = Version {
            breaker: Breaker::new(draft.policy.max_faults, draft.policy.window),
            stats: Stats::new(draft.workers),
            since: SystemTime::now(),
            start_time: Duration::ZERO,
            draft,
        };
        let (mut trial, mut time) = version.timed()?;
        if time > QUICK {
            // The first also pays for code and memory that nobody had touched before.
            drop(trial);
            (trial, time) = version.timed()?;
        }
        version.start_time = time;
        Ok((version, trial))
    }

    fn timed(&self) -> Result<(Instance, Duration), Fault> {
        let start = thread_time();
        let instance = self.instantiate()?;
        Ok((instance, thread_time().saturating_sub(start)))
    }

    /// Counts from 1.
    pub fn number(&self) -> u32 {
        self.draft.number
    }

    /// As the configuration calls it.
    pub fn plugin_name(&self) -> &str {
        self.draft.plugin.name()
    }

    /// The compiled component.
    pub fn plugin(&self) -> &Plugin {
        &self.draft.plugin
    }

    /// The file's SHA-256, in hexadecimal.
    pub fn sha256(&self) -> &str {
        self.draft.plugin.sha256()
    }

    /// Where its file came from, for people.
    pub fn source(&self) -> &str {
        &self.draft.source
    }

    /// When it was made.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// What it has done.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether it had too many faults and is left alone.
    pub fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether making an instance would hold up a worker.
    pub fn is_slow_to_start(&self) -> bool {
        self.start_time > QUICK
    }

    /// A new, configured instance.
    ///
    /// # Errors
    /// What the plugin did wrong while it was made or configured.
    pub fn instantiate(&self) -> Result<Instance, Fault> {
        self.draft
            .plugin
            .instantiate(&self.draft.settings, Arc::clone(&self.draft.backends))
    }

    pub(super) fn frontend(&self) -> &str {
        &self.draft.settings.frontend
    }

    pub(super) fn isolation(&self) -> Isolation {
        self.draft.policy.isolation
    }

    pub(super) fn on_fault(&self) -> OnFault {
        self.draft.policy.on_fault
    }

    pub(super) fn counters(&self, worker: usize) -> &Counters {
        self.stats.of(worker)
    }

    pub(super) fn admit(&self) -> Admission {
        self.breaker.admit()
    }

    /// The plugin did what was asked of it.
    pub(super) fn worked(&self, admission: Admission) {
        if admission == Admission::Try {
            self.breaker.mend();
            tracing::info!(
                frontend = self.frontend(),
                plugin = self.plugin_name(),
                version = self.number(),
                "the plugin works again"
            );
        }
    }

    /// The plugin failed.
    pub(super) fn failed(&self, admission: Admission) {
        if self.breaker.failed(admission) {
            tracing::error!(
                frontend = self.frontend(),
                plugin = self.plugin_name(),
                version = self.number(),
                faults = self.draft.policy.max_faults,
                window = ?self.draft.policy.window,
                "too many faults: the plugin is not asked for a while"
            );
            self.notify(Matter::Failing);
        }
    }

    /// Whether somebody hears of it.
    pub(super) fn notify(&self, matter: Matter) -> bool {
        let notice = Notice {
            frontend: self.frontend().to_owned(),
            number: self.number(),
            matter,
        };
        let notices = self.draft.notices.as_ref();
        notices.is_some_and(|notices| notices.send(notice).is_ok())
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

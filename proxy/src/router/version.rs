//! A version of a plugin: one load of one file, with one configuration.
//!
//! Shared by all workers; created by `rollout`, called by `router`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::breaker::{Admission, Breaker};
use super::stats::{Counters, Stats};
use crate::config::{DEFAULT_FAULT_WINDOW, DEFAULT_MAX_FAULTS, Isolation, OnFault, StageId};
use crate::plugin::{Backends, Environment, Fault, Instance, Plugin, Read, Request, Settings};
use crate::questions::Questions;

/// Longest time that creating an instance on a worker thread may take. A slower instance is created
/// off the worker thread. Until it is ready, `on_fault` applies to requests, or, if each request
/// has its own instance, they wait for it.
const QUICK: Duration = Duration::from_millis(1);

/// Number of consecutive failed starts after which a version is no longer called for a while.
const MAX_FAILED_STARTS: u32 = 3;

/// How instances are used, and how faults are treated.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long an instance is used.
    pub isolation: Isolation,
    /// Where a request goes if the plugin fails on it.
    pub on_fault: OnFault,
    /// Number of faults within `window` that suspend the version.
    pub max_faults: u32,
    /// Time window of `max_faults`.
    pub window: Duration,
}

/// Everything that a version is created from.
#[derive(Debug, Clone)]
pub struct VersionSpec {
    /// Number of the version, counted from 1 for each stage.
    pub number: u32,
    /// The compiled component.
    pub plugin: Plugin,
    /// Settings with which the plugin runs.
    pub settings: Settings,
    /// How the version's instances are used, and how its faults are treated.
    pub policy: Policy,
    /// The parts of the proxy that the plugin can query.
    pub environment: Environment,
    /// Number of workers, each with separate counters.
    pub workers: usize,
    /// Origin of the plugin's file, for display.
    pub source: String,
    /// Receives events that workers cannot handle by themselves; None if there is no receiver.
    pub events: Option<mpsc::UnboundedSender<WorkerEvent>>,
}

impl VersionSpec {
    /// Returns the specification of a first version for one worker, with the default policy and no
    /// event receiver.
    pub fn new(plugin: Plugin, settings: Settings, environment: Environment) -> VersionSpec {
        VersionSpec {
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
            environment,
            workers: 1,
            events: None,
        }
    }
}

/// An event that a worker cannot handle by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEvent {
    /// Stage of the version.
    pub stage: StageId,
    /// Number of the version.
    pub number: u32,
    /// The event that occurred.
    pub kind: WorkerEventKind,
}

/// The kinds of [`WorkerEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEventKind {
    /// The version had too many faults.
    Failing,
    /// The worker with this number needs a new instance of the version.
    NeedsInstance(usize),
}

/// A version of a plugin, shared by all workers.
#[derive(Debug)]
pub struct Version {
    spec: VersionSpec,
    since: SystemTime,
    breaker: Breaker,
    stats: Arc<Stats>,
    /// Whether the last instance was created [quickly](QUICK). Measured in processor time, since
    /// threads other than workers have low priority.
    is_quick: AtomicBool,
    /// Number of consecutive failed attempts to create an instance.
    failed_starts: AtomicU32,
    /// Questions that the version's first instance defined.
    questions: OnceLock<Arc<Questions>>,
}

impl Version {
    /// Creates a version and its first instance, which shows whether the plugin starts and how long
    /// it takes.
    ///
    /// # Errors
    /// The plugin's fault while it was instantiated or configured.
    pub fn try_new(mut spec: VersionSpec) -> Result<(Version, Instance), Fault> {
        // Pin the code in memory, since workers must not wait for the disk.
        spec.plugin = spec.plugin.held(&spec.settings, &spec.environment)?;
        let version = Version {
            breaker: Breaker::new(spec.policy.max_faults, spec.policy.window),
            stats: Stats::of_version(&spec.settings.stage, spec.workers, &spec.settings.lines),
            since: SystemTime::now(),
            is_quick: AtomicBool::new(true),
            failed_starts: AtomicU32::new(0),
            questions: OnceLock::new(),
            spec,
        };
        let instance = version.create()?;
        if version.is_quick() {
            return Ok((version, instance));
        }
        // The first instance may have been slow only because it touched code and memory for the
        // first time, so measure a second one.
        drop(instance);
        let instance = version.create()?;
        Ok((version, instance))
    }

    /// Returns the same version with another number, which it receives when it is published.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Version {
        self.spec.number = number;
        self
    }

    /// Returns the same version with another copy of its plugin, which is on another engine or
    /// [released](Plugin::released). For a version that is not in service.
    #[must_use]
    pub fn with_plugin(&self, plugin: Plugin) -> Version {
        let policy = self.spec.policy;
        Version {
            spec: VersionSpec {
                plugin,
                ..self.spec.clone()
            },
            since: self.since,
            breaker: Breaker::new(policy.max_faults, policy.window),
            stats: Arc::clone(&self.stats),
            is_quick: AtomicBool::new(self.is_quick()),
            failed_starts: AtomicU32::new(0),
            questions: self.questions.clone(),
        }
    }

    /// Returns the version's number, counted from 1.
    pub fn number(&self) -> u32 {
        self.spec.number
    }

    /// Returns the plugin's name, as in the configuration.
    pub fn plugin_name(&self) -> &str {
        self.spec.plugin.name()
    }

    /// Returns the questions that the version's instances define; empty before the first instance.
    #[inline]
    pub fn questions(&self) -> &Questions {
        static NONE: LazyLock<Questions> = LazyLock::new(Questions::default);
        self.questions
            .get()
            .map_or(&*NONE, |questions| &**questions)
    }

    /// Formats for display the value that a read has for a request.
    pub fn show(&self, read: &Read, request: &mut Request<'_>) -> String {
        read.show(request, self.questions(), self.backends())
    }

    /// Returns the backends that the plugin can query.
    #[inline]
    pub(super) fn backends(&self) -> &dyn Backends {
        &*self.spec.environment.backends
    }

    /// Returns the compiled component.
    pub fn plugin(&self) -> &Plugin {
        &self.spec.plugin
    }

    /// Returns the SHA-256 of the plugin's file, in hex.
    pub fn sha256(&self) -> &str {
        self.spec.plugin.sha256()
    }

    /// Returns the origin of the plugin's file, for display.
    pub fn source(&self) -> &str {
        &self.spec.source
    }

    /// Returns the time when the version was created.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Returns the version's counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns whether the version had too many faults and is suspended.
    pub fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns whether instances start quickly enough to be created on a worker thread.
    pub fn is_quick(&self) -> bool {
        self.is_quick.load(Ordering::Relaxed)
    }

    /// Creates and configures an instance. If starts are slow and instances are reused, the new
    /// instance is also called once, with `GET /` for `localhost`, since a first decision may be
    /// slow as well.
    ///
    /// Blocks for as long as `configure` may take: do not call on a worker thread.
    ///
    /// # Errors
    /// The plugin's fault while it was instantiated, configured or called.
    pub fn instantiate(&self) -> Result<Instance, Fault> {
        let mut instance = self.create()?;
        if !self.is_quick() && self.isolation() == Isolation::Instance {
            instance.try_out()?;
        }
        Ok(instance)
    }

    /// Creates and configures an instance on a worker thread, within the deadline of a decision.
    ///
    /// # Errors
    /// The plugin's fault. If the version is no longer [quick](Self::is_quick) then, create the
    /// instance on another thread.
    pub(super) fn instantiate_on_worker(&self) -> Result<Instance, Fault> {
        let VersionSpec {
            plugin,
            settings,
            environment,
            ..
        } = &self.spec;
        let known = self.questions.get();
        let created = plugin.instantiate_on_worker(settings, environment, known);
        self.note_start(&created);
        // A start that is only too slow for a worker thread is not counted, since it can still
        // succeed on another thread.
        if created.is_ok() || self.is_quick() {
            self.count_start(&created);
        }
        created
    }

    fn create(&self) -> Result<Instance, Fault> {
        let VersionSpec {
            plugin,
            settings,
            environment,
            ..
        } = &self.spec;
        let created = plugin.instantiate(settings, environment, self.questions.get());
        if let Ok(instance) = &created {
            // If two first instances are created concurrently, the questions of the one that
            // finishes first are kept.
            let _ = self.questions.set(Arc::clone(instance.questions()));
        }
        self.note_start(&created);
        self.count_start(&created);
        created
    }

    fn note_start(&self, created: &Result<Instance, Fault>) {
        let is_quick = match created {
            Ok(instance) => instance.start_time() <= QUICK,
            Err(Fault::Deadline | Fault::Waits) => false,
            Err(_) => return,
        };
        self.is_quick.store(is_quick, Ordering::Relaxed);
    }

    /// Counts consecutive failed starts and opens the breaker after too many. Such a version fails
    /// every request, but with few requests the faults alone might not open the breaker.
    fn count_start(&self, created: &Result<Instance, Fault>) {
        let Err(fault) = created else {
            self.failed_starts.store(0, Ordering::Relaxed);
            return;
        };
        let failed = self.failed_starts.fetch_add(1, Ordering::Relaxed) + 1;
        if failed >= MAX_FAILED_STARTS && self.breaker.open() {
            tracing::error!(
                frontend = self.stage().frontend,
                stage = self.stage().name,
                plugin = self.plugin_name(),
                version = self.number(),
                failed,
                error = %fault,
                "plugin cannot be started again: calls suspended for a while"
            );
            self.notify(WorkerEventKind::Failing);
        }
    }

    /// Returns the longest time that an instance may take to start.
    pub(super) fn longest_start(&self) -> Duration {
        self.spec.settings.configure_deadline
    }

    /// Returns whether there is an event receiver, which creates instances off the worker threads.
    pub(super) fn has_maker(&self) -> bool {
        let events = self.spec.events.as_ref();
        events.is_some_and(|events| !events.is_closed())
    }

    /// Returns the version's stage.
    pub fn stage(&self) -> &StageId {
        &self.spec.settings.stage
    }

    pub(super) fn isolation(&self) -> Isolation {
        self.spec.policy.isolation
    }

    pub(super) fn on_fault(&self) -> OnFault {
        self.spec.policy.on_fault
    }

    pub(super) fn counters(&self, worker: usize) -> &Counters {
        self.stats.of(worker)
    }

    pub(super) fn admit(&self) -> Admission {
        self.breaker.admit()
    }

    /// Records a call that succeeded.
    pub(super) fn worked(&self, admission: Admission) {
        if admission == Admission::Probe {
            self.breaker.close();
            tracing::info!(
                frontend = self.stage().frontend,
                stage = self.stage().name,
                plugin = self.plugin_name(),
                version = self.number(),
                "plugin works again"
            );
        }
    }

    /// Records a call that failed.
    pub(super) fn failed(&self, admission: Admission) {
        if self.breaker.failed(admission) {
            tracing::error!(
                frontend = self.stage().frontend,
                stage = self.stage().name,
                plugin = self.plugin_name(),
                version = self.number(),
                faults = self.spec.policy.max_faults,
                window = ?self.spec.policy.window,
                "too many faults: plugin calls suspended for a while"
            );
            self.notify(WorkerEventKind::Failing);
        }
    }

    /// Requests an instance for a worker that is starting, unless the worker can create one quickly
    /// by itself.
    pub fn order_for(&self, worker: usize) {
        if !self.is_quick() {
            self.notify(WorkerEventKind::NeedsInstance(worker));
        }
    }

    /// Reports an event. Returns whether there is a receiver for it.
    pub(super) fn notify(&self, kind: WorkerEventKind) -> bool {
        let event = WorkerEvent {
            stage: self.stage().clone(),
            number: self.number(),
            kind,
        };
        let events = self.spec.events.as_ref();
        events.is_some_and(|events| events.send(event).is_ok())
    }
}

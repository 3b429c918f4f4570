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

/// Longest time to create an instance on a worker thread. A slower instance is created off the
/// worker thread. Until it is ready, `on_fault` applies to requests, or they wait for it if each
/// request has its own instance.
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
    /// Number of faults within `window` that take the version out of service.
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
    /// Settings with which it runs.
    pub settings: Settings,
    /// How its instances are used.
    pub policy: Policy,
    /// The parts of the proxy that it can query.
    pub environment: Environment,
    /// Number of workers, each with separate counters.
    pub workers: usize,
    /// Origin of its file, for display.
    pub source: String,
    /// Receives events that workers cannot handle by themselves; None if there is no receiver.
    pub events: Option<mpsc::UnboundedSender<WorkerEvent>>,
}

impl VersionSpec {
    /// Returns the specification of a first version for one worker, with the default policy and no
    /// receiver of events.
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
    /// The version's stage.
    pub stage: StageId,
    /// The version's number.
    pub number: u32,
    /// The fault that occurred.
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
    /// Number of consecutive instances that could not be created.
    failed_starts: AtomicU32,
    /// Questions that its first instance has defined.
    questions: OnceLock<Arc<Questions>>,
}

impl Version {
    /// Creates a version and its first instance, which shows whether it starts and how long it
    /// takes.
    ///
    /// # Errors
    /// The plugin's fault while it was instantiated or configured.
    pub fn try_new(mut spec: VersionSpec) -> Result<(Version, Instance), Fault> {
        // Pins the code in memory, since workers must not wait for a disk.
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
        // The first instance took longer because it touched code and memory for the first time, so
        // measure a second one.
        drop(instance);
        let instance = version.create()?;
        Ok((version, instance))
    }

    /// Returns the same version with another number: that of its publication.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Version {
        self.spec.number = number;
        self
    }

    /// Returns the same version with its plugin on another engine, or released: for a version that
    /// is not in service.
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

    /// Returns its number, counted from 1.
    pub fn number(&self) -> u32 {
        self.spec.number
    }

    /// Returns the plugin's name, as in the configuration.
    pub fn plugin_name(&self) -> &str {
        self.spec.plugin.name()
    }

    /// Returns the questions that its instances define; none before the first instance.
    #[inline]
    pub fn questions(&self) -> &Questions {
        static NONE: LazyLock<Questions> = LazyLock::new(Questions::default);
        self.questions
            .get()
            .map_or(&*NONE, |questions| &**questions)
    }

    /// Formats the value of a read of a request for display.
    pub fn show(&self, read: &Read, request: &mut Request<'_>) -> String {
        read.show(request, self.questions(), self.backends())
    }

    /// Returns the backends that it can query.
    #[inline]
    pub(super) fn backends(&self) -> &dyn Backends {
        &*self.spec.environment.backends
    }

    /// Returns the compiled component.
    pub fn plugin(&self) -> &Plugin {
        &self.spec.plugin
    }

    /// Returns the file's SHA-256, in hex.
    pub fn sha256(&self) -> &str {
        self.spec.plugin.sha256()
    }

    /// Returns the origin of its file, for display.
    pub fn source(&self) -> &str {
        &self.spec.source
    }

    /// Returns the time of its creation.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Returns its counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns whether it had too many faults and is not called for now.
    pub fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns whether an instance can be created on a worker thread.
    pub fn is_quick(&self) -> bool {
        self.is_quick.load(Ordering::Relaxed)
    }

    /// Creates and configures an instance. If creation is slow, the instance is also called once,
    /// with `GET /` for `localhost`, since its first decision may be slow, too.
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
    /// The plugin's fault. If it [takes too long](Self::is_quick), create the instance on another
    /// thread.
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
        // An instance that takes too long here can still be created on another thread.
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
            // If two first instances are created concurrently, either one's questions will do.
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

    /// Counts failed starts. A version that cannot be started fails every request, so the breaker
    /// opens even if there are few requests.
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

    /// Returns whether there is a receiver that creates instances off the worker threads.
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

    /// Orders an instance for a worker that is starting, unless the worker can create one quickly
    /// by itself.
    pub fn order_for(&self, worker: usize) {
        if !self.is_quick() {
            self.notify(WorkerEventKind::NeedsInstance(worker));
        }
    }

    /// Reports an event. Returns whether there is a receiver.
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

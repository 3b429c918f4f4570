//! A frontend's router in one worker: from a head to a decision.
//!
//! Owns the worker's instance of the plugin and when it is made anew, and the cache of its
//! decisions. Called by `request`; the only caller of `plugin` on the way of a request.

mod cache;
pub mod versions;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::head::Head;
use crate::plugin::{
    BackendState, Backends, Cacheability, Decision, Edit, Fault, Instance, Outcome, Plugin, Reads,
    Response, Settings,
};

use self::cache::{Cache, Facts};

pub use self::cache::Counts;

/// The call number that plugins see: a request is routed once, before any backend.
const FIRST_ATTEMPT: u32 = 0;
/// Pause before an instance is made again after making one has failed.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The pause doubles with each failure up to this.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A plugin in service: one load of one file.
#[derive(Debug)]
pub struct Version {
    number: u32,
    plugin: Plugin,
    settings: Settings,
}

impl Version {
    /// `number` counts from 1 for each frontend.
    pub fn new(number: u32, plugin: Plugin, settings: Settings) -> Version {
        Version {
            number,
            plugin,
            settings,
        }
    }

    /// Counts from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// As the configuration calls it.
    pub fn plugin_name(&self) -> &str {
        self.plugin.name()
    }

    /// The file's SHA-256, in hexadecimal.
    pub fn sha256(&self) -> &str {
        self.plugin.sha256()
    }

    /// A new, configured instance.
    ///
    /// # Errors
    /// What the plugin did wrong while it was made or configured.
    pub fn instantiate(&self, backends: &Arc<dyn Backends>) -> Result<Instance, Fault> {
        self.plugin
            .instantiate(&self.settings, Arc::clone(backends))
    }
}

/// What the router says about a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Decided {
    /// Where it goes.
    pub route: Route,
    /// What to change of its head.
    pub edits: Vec<Edit>,
}

/// A decision, and where it came from.
#[derive(Debug)]
pub struct Verdict {
    /// What the plugin said, or failed by.
    pub decided: Result<Rc<Decided>, Fault>,
    /// Whether it had said so of an earlier request.
    pub cached: bool,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// To the backend of this index.
    Backend(usize),
    /// To the frontend's default backend.
    Default,
    /// Nowhere: this is the answer.
    Respond(Response),
}

/// The router of a frontend in one worker.
#[derive(Debug)]
pub struct Router {
    version: Arc<Version>,
    backends: Arc<dyn Backends>,
    instance: Option<Instance>,
    reads: Reads,
    cache: Cache,
    retry: Retry,
    reports: Reports,
}

impl Router {
    /// Makes the worker's instance at once, so that the first request does not wait for it.
    pub fn new(version: Arc<Version>, backends: Arc<dyn Backends>) -> Router {
        let mut router = Router {
            version,
            backends,
            instance: None,
            reads: Reads::default(),
            cache: Cache::default(),
            retry: Retry::default(),
            reports: Reports::default(),
        };
        if let Err(fault) = router.instance() {
            tracing::warn!(plugin = router.version.plugin_name(), error = %fault, "no instance");
        }
        router
    }

    /// The plugin version that decides.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Whether the plugin's decisions may be reused, as far as it says.
    pub fn cacheability(&self) -> Option<Cacheability> {
        self.instance.as_ref().map(Instance::cacheability)
    }

    /// What the plugin read when it was last asked.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// How often a decision was at hand, and how often the plugin was asked.
    pub fn counts(&self) -> Counts {
        self.cache.counts()
    }

    /// A decision about `head`: one that was made before, where the plugin could not tell
    /// the two requests apart, or the plugin's.
    pub fn decide(&mut self, head: &mut Head) -> Verdict {
        let facts = Facts {
            head,
            attempt: FIRST_ATTEMPT,
        };
        if let Some(decided) = self.cache.find(facts) {
            return Verdict {
                decided: Ok(Rc::clone(decided)),
                cached: true,
            };
        }
        let decided = self.ask(head);
        if let Ok(decided) = &decided {
            self.remember(head, decided);
        }
        Verdict {
            decided,
            cached: false,
        }
    }

    /// Asks the plugin, whatever it said before.
    ///
    /// # Errors
    /// The plugin's [`Fault`].
    pub fn ask(&mut self, head: &mut Head) -> Result<Rc<Decided>, Fault> {
        let mut instance = self.instance()?;
        let taken = head.take();
        let (taken, outcome) = instance.route(taken, FIRST_ATTEMPT, &mut self.reads);
        *head = taken;
        if !instance.is_spent() {
            self.instance = Some(instance);
        }
        outcome.map(|outcome| Rc::new(Decided::from(outcome)))
    }

    /// Keeps what the plugin has just decided, if that may be.
    fn remember(&mut self, head: &Head, decided: &Rc<Decided>) {
        if !self.reads.cacheable || self.cacheability() != Some(Cacheability::Cacheable) {
            return;
        }
        let facts = Facts {
            head,
            attempt: FIRST_ATTEMPT,
        };
        if self.cache.insert(&self.reads.reads, facts, decided).is_ok() {
            return;
        }
        // What was kept may be as wrong as what is new.
        self.cache.clear();
        if let Some(more) = self.reports.admit("inconsistent") {
            tracing::warn!(
                plugin = self.version.plugin_name(),
                version = self.version.number(),
                more,
                "the plugin calls its decisions cacheable, but read or decided otherwise \
                 about the same values: its cached decisions were dropped"
            );
        }
    }

    /// Logs a fault with the guest's backtrace, each kind once a second at most.
    pub fn report(&mut self, frontend: &str, fault: &Fault) {
        let Some(more) = self.reports.admit(fault.kind()) else {
            return;
        };
        let backtrace = match fault {
            Fault::Trap { backtrace, .. } => {
                Some(backtrace.as_str()).filter(|text| !text.is_empty())
            }
            _ => None,
        };
        tracing::warn!(
            frontend,
            plugin = self.version.plugin_name(),
            version = self.version.number(),
            kind = fault.kind(),
            error = %fault,
            backtrace,
            more,
            "plugin fault"
        );
    }

    /// The instance at hand, or a new one.
    fn instance(&mut self) -> Result<Instance, Fault> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        self.retry.check()?;
        let made = self.version.instantiate(&self.backends);
        self.retry.note(made.as_ref().err());
        made
    }
}

impl From<Outcome> for Decided {
    fn from(outcome: Outcome) -> Decided {
        Decided {
            route: match outcome.decision {
                Decision::Backend(index) => Route::Backend(index),
                Decision::Default => Route::Default,
                Decision::Respond(response) => Route::Respond(response),
            },
            edits: outcome.edits,
        }
    }
}

/// Keeps a plugin that cannot be instantiated from costing every request an attempt.
#[derive(Debug, Default)]
struct Retry {
    pause: Duration,
    next: Option<Instant>,
    reason: String,
}

impl Retry {
    fn check(&self) -> Result<(), Fault> {
        match self.next {
            Some(next) if Instant::now() < next => Err(Fault::Instantiate(self.reason.clone())),
            _ => Ok(()),
        }
    }

    fn note(&mut self, fault: Option<&Fault>) {
        let Some(fault) = fault else {
            *self = Retry::default();
            return;
        };
        self.pause = (self.pause * 2).clamp(FIRST_RETRY_PAUSE, MAX_RETRY_PAUSE);
        self.next = Some(Instant::now() + self.pause);
        self.reason = fault.to_string();
    }
}

/// Pause between two log lines about faults of one kind.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// Keeps a plugin that fails on every request from filling the log.
#[derive(Debug, Default)]
struct Reports(Vec<Report>);

#[derive(Debug)]
struct Report {
    kind: &'static str,
    last: Instant,
    /// Faults since then that were not logged.
    unsaid: u64,
}

impl Reports {
    /// How many of this kind went unsaid since the last that was logged; None where this
    /// one is to go unsaid too.
    fn admit(&mut self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let Some(report) = self.0.iter_mut().find(|report| report.kind == kind) else {
            self.0.push(Report {
                kind,
                last: now,
                unsaid: 0,
            });
            return Some(0);
        };
        if now.duration_since(report.last) < REPORT_PAUSE {
            report.unsaid += 1;
            return None;
        }
        report.last = now;
        Some(std::mem::take(&mut report.unsaid))
    }
}

/// Backends as the configuration names them, none of them in use: what a plugin sees while
/// it is tried out.
#[derive(Debug)]
pub struct ConfiguredBackends(Vec<(String, u32)>);

impl ConfiguredBackends {
    /// The backends of `config`.
    pub fn new(config: &crate::config::Config) -> ConfiguredBackends {
        let backends = config.backends.iter().map(|backend| {
            let servers = u32::try_from(backend.servers.len()).unwrap_or(u32::MAX);
            (backend.name.clone(), servers)
        });
        ConfiguredBackends(backends.collect())
    }
}

impl Backends for ConfiguredBackends {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == name)
    }

    fn state(&self, index: usize) -> BackendState {
        BackendState {
            usable_servers: self.0[index].1,
            active: 0,
            queued: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn faults_of_a_kind_are_logged_once_a_second() {
        let mut reports = Reports::default();
        assert_eq!(reports.admit("trap"), Some(0));
        assert_eq!(reports.admit("trap"), None);
        assert_eq!(reports.admit("trap"), None);
        assert_eq!(reports.admit("deadline"), Some(0));
        tokio::time::advance(REPORT_PAUSE).await;
        assert_eq!(reports.admit("trap"), Some(2));
        assert_eq!(reports.admit("trap"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_cannot_be_made_is_tried_at_growing_intervals() {
        let mut retry = Retry::default();
        assert!(retry.check().is_ok());
        let mut pause = FIRST_RETRY_PAUSE;
        while pause < MAX_RETRY_PAUSE {
            retry.note(Some(&Fault::Deadline));
            assert!(retry.check().is_err());
            tokio::time::advance(pause).await;
            assert!(retry.check().is_ok(), "after {pause:?}");
            pause *= 2;
        }
        retry.note(None);
        assert!(retry.check().is_ok());
    }
}

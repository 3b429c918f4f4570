//! One version of a plugin in one worker: its instance, and the cache of its decisions.
//!
//! Owns when the instance is made anew. Used by `router`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Admission;
use super::cache::{Cache, Facts};
use super::reports::Reports;
use super::version::{Matter, Version};
use super::{Decided, Decider, Verdict};
use crate::config::Isolation;
use crate::http::head::Head;
use crate::plugin::{Cacheability, Fault, Instance, Reads};

/// The call number that plugins see: a request is routed once, before any backend.
const FIRST_ATTEMPT: u32 = 0;
/// Pause before an instance is made again after making one has failed.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// The pause doubles with each failure up to this.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A version at work.
#[derive(Debug)]
pub(super) struct Seat {
    version: Arc<Version>,
    worker: usize,
    instance: Option<Instance>,
    /// What its `configure` answered, or that of the last one there was.
    cacheability: Option<Cacheability>,
    /// An instance is being made elsewhere.
    is_awaited: bool,
    /// The last call left its instance with too many handles.
    has_leaked: bool,
    cache: Cache,
    retry: Retry,
}

impl Seat {
    pub(super) fn new(version: Arc<Version>, instance: Option<Instance>, worker: usize) -> Seat {
        Seat {
            version,
            worker,
            cacheability: instance.as_ref().map(Instance::cacheability),
            instance,
            is_awaited: false,
            has_leaked: false,
            cache: Cache::default(),
            retry: Retry::default(),
        }
    }

    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    pub(super) fn version(&self) -> &Arc<Version> {
        &self.version
    }

    pub(super) fn cacheability(&self) -> Option<Cacheability> {
        self.cacheability
    }

    /// See [`Router::decide`](super::Router::decide).
    pub(super) fn decide(
        &mut self,
        head: &mut Head,
        reads: &mut Reads,
        reports: &mut Reports,
    ) -> Verdict {
        let facts = Facts {
            head,
            attempt: FIRST_ATTEMPT,
        };
        if let Some(decided) = self.cache.find(facts) {
            self.version.counters(self.worker).cached();
            return Verdict {
                decided: Ok(Rc::clone(decided)),
                cached: true,
                by: Decider::Active,
            };
        }
        let decided = self.ask_if_fit(head, reads, reports);
        if let Ok(decided) = &decided {
            self.remember(head, decided, reads, reports);
        }
        Verdict {
            decided,
            cached: false,
            by: Decider::Active,
        }
    }

    /// Asks the plugin unless it had too many faults.
    fn ask_if_fit(
        &mut self,
        head: &mut Head,
        reads: &mut Reads,
        reports: &mut Reports,
    ) -> Result<Rc<Decided>, Fault> {
        let admission = self.version.admit();
        if admission == Admission::Refuse {
            let fault = Fault::Suspended;
            self.version.counters(self.worker).failed(&fault);
            return Err(fault);
        }
        let start = Instant::now();
        let decided = self.ask(head, reads);
        let counters = self.version.counters(self.worker);
        counters.asked(start.elapsed());
        match &decided {
            Ok(_) => {
                self.version.worked(admission);
                if self.has_leaked {
                    counters.failed(&Fault::HandleLeak);
                    reports.fault(&self.version, &Fault::HandleLeak);
                }
            }
            // Not the plugin's doing.
            Err(fault @ Fault::Starting) => counters.failed(fault),
            Err(fault) => {
                counters.failed(fault);
                self.version.failed(admission);
            }
        }
        decided
    }

    /// See [`Router::ask`](super::Router::ask).
    pub(super) fn ask(&mut self, head: &mut Head, reads: &mut Reads) -> Result<Rc<Decided>, Fault> {
        let mut instance = self.instance()?;
        let taken = head.take();
        let (taken, outcome) = instance.route(taken, FIRST_ATTEMPT, reads);
        *head = taken;
        self.has_leaked = instance.is_spent() && outcome.is_ok();
        if !instance.is_spent() && self.version.isolation() == Isolation::Instance {
            self.instance = Some(instance);
        }
        outcome.map(|outcome| Rc::new(Decided::from(outcome)))
    }

    /// Takes an instance that was made elsewhere, or hears why it could not be made.
    pub(super) fn provide(&mut self, instance: Result<Instance, Fault>) {
        self.is_awaited = false;
        self.retry.note(instance.as_ref().err());
        if let Ok(instance) = instance {
            self.cacheability = Some(instance.cacheability());
            self.instance = Some(instance);
        }
    }

    /// The instance at hand, or a new one.
    fn instance(&mut self) -> Result<Instance, Fault> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        if self.is_awaited {
            return Err(Fault::Starting);
        }
        self.retry.check()?;
        let matter = Matter::NeedsInstance(self.worker);
        // With an instance for each request, the request waits for it.
        let is_shared = self.version.isolation() == Isolation::Instance;
        if is_shared && self.version.is_slow_to_start() && self.version.notify(matter) {
            self.is_awaited = true;
            return Err(Fault::Starting);
        }
        let made = self.version.instantiate();
        self.retry.note(made.as_ref().err());
        let cacheability = made.as_ref().map(Instance::cacheability);
        self.cacheability = cacheability.ok().or(self.cacheability);
        made
    }

    /// Keeps what the plugin has just decided, if that may be.
    fn remember(
        &mut self,
        head: &Head,
        decided: &Rc<Decided>,
        reads: &Reads,
        reports: &mut Reports,
    ) {
        if !reads.cacheable || self.cacheability() != Some(Cacheability::Cacheable) {
            return;
        }
        let facts = Facts {
            head,
            attempt: FIRST_ATTEMPT,
        };
        if self.cache.insert(&reads.reads, facts, decided).is_ok() {
            return;
        }
        // What was kept may be as wrong as what is new.
        self.cache.clear();
        if let Some(more) = reports.admit("inconsistent") {
            tracing::warn!(
                plugin = self.version.plugin_name(),
                version = self.version.number(),
                more,
                "the plugin calls its decisions cacheable, but read or decided otherwise \
                 about the same values: its cached decisions were dropped"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

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

//! One version of a plugin in one worker: its instance, and the cache of its decisions.
//!
//! Decides when a new instance is created, and where: on the worker thread only if creation is
//! known to take almost no time. Used by `router`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Admission;
use super::cache::{Cache, Facts};
use super::decision::{Decider, StageDecision};
use super::instance_queue::{InstanceQueue, Supplied};
use super::reports::Reports;
use super::version::Version;
use crate::config::Isolation;
use crate::plugin::{Cacheability, Decision, Fault, Instance, Reads, Request};
use crate::telemetry::RequestId;

/// Pause before the next attempt after an instance could not be created.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Maximum pause. The pause doubles with each failed attempt.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A version in one worker.
#[derive(Debug)]
pub(super) struct LocalVersion {
    version: Arc<Version>,
    worker: usize,
    instance: Option<Instance>,
    /// Cacheability that the most recent `configure` returned.
    cacheability: Option<Cacheability>,
    /// Queue for instances that are created off the worker thread.
    queue: InstanceQueue,
    /// Whether the plugin kept too many handles in the last call.
    has_leaked: bool,
    cache: Cache,
    retry: Retry,
}

impl LocalVersion {
    pub(super) fn new(
        version: Arc<Version>,
        instance: Option<Instance>,
        worker: usize,
    ) -> LocalVersion {
        LocalVersion {
            version,
            worker,
            cacheability: instance.as_ref().map(Instance::cacheability),
            instance,
            queue: InstanceQueue::default(),
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

    /// See [`Stage::decide`](super::stage::Stage::decide).
    pub(super) fn decide(
        &mut self,
        request: &mut Request<'_>,
        supplied: Option<Supplied>,
        reads: &mut Reads,
        reports: &mut Reports,
    ) -> StageDecision {
        let version = &self.version;
        let facts = &mut Facts::of(request, version.questions(), version.backends());
        if let Some(decision) = self.cache.find(facts) {
            // Pass on only an instance. An error may be a timeout of this request alone, which must
            // not fail the requests that are still waiting.
            let unused = supplied.filter(|unused| unused.created.is_ok());
            if let Some(Ok(instance)) =
                unused.and_then(|unused| self.queue.hand_out(unused.created))
            {
                self.instance = Some(instance);
            }
            self.version.counters(self.worker).cached();
            return StageDecision {
                decision: Ok(Rc::clone(decision)),
                cached: true,
                wait: None,
                by: Decider::Active,
            };
        }
        let mut decided = self.call_if_allowed(request, supplied, reads, reports);
        if let Ok(decision) = &decided.decision {
            self.remember(request, decision, reads, reports);
        }
        decided.by = Decider::Active;
        decided
    }

    /// Calls the plugin unless the circuit breaker refuses it.
    fn call_if_allowed(
        &mut self,
        request: &mut Request<'_>,
        supplied: Option<Supplied>,
        reads: &mut Reads,
        reports: &mut Reports,
    ) -> StageDecision {
        let mut decided = StageDecision {
            decision: Err(Fault::Suspended),
            cached: false,
            wait: None,
            by: Decider::Active,
        };
        // A request waits only once.
        let has_waited = supplied.is_some();
        let (admission, created_for_it) = match supplied {
            Some(supplied) => (supplied.admission, Some(supplied.created)),
            None => (self.version.admit(), None),
        };
        if admission == Admission::Refuse {
            self.version.counters(self.worker).failed(&Fault::Suspended);
            return decided;
        }
        let start = Instant::now();
        decided.decision = self.call(request, created_for_it, reads);
        if !has_waited
            && matches!(decided.decision, Err(Fault::Starting))
            && self.version.isolation() == Isolation::Request
            && self.queue.is_creating()
        {
            decided.wait = self.queue.wait(&self.version, admission);
            if decided.wait.is_some() {
                return decided;
            }
        }
        let counters = self.version.counters(self.worker);
        counters.called(start.elapsed());
        match &decided.decision {
            Ok(_) => {
                self.version.worked(admission);
                if self.has_leaked {
                    counters.failed(&Fault::HandleLeak);
                    reports.fault(&self.version, &Fault::HandleLeak, request.id);
                }
            }
            // A missing instance is not the plugin's fault, unless its last start failed.
            Err(fault @ Fault::Starting) if !self.retry.has_failed() => counters.failed(fault),
            Err(fault) => {
                counters.failed(fault);
                self.version.failed(admission);
            }
        }
        decided
    }

    /// See [`Stage::call`](super::stage::Stage::call).
    pub(super) fn call(
        &mut self,
        request: &mut Request<'_>,
        created_for_it: Option<Result<Instance, Fault>>,
        reads: &mut Reads,
    ) -> Result<Rc<Decision>, Fault> {
        let mut instance = created_for_it.unwrap_or_else(|| self.instance())?;
        let decision = instance.route(request, reads);
        self.has_leaked = instance.is_spent() && decision.is_ok();
        if !instance.is_spent() && self.version.isolation() == Isolation::Instance {
            self.instance = Some(instance);
        }
        decision.map(Rc::new)
    }

    /// Removes the cached decision about requests like this one.
    pub(super) fn forget(&mut self, request: &mut Request<'_>) {
        let version = &self.version;
        let facts = &mut Facts::of(request, version.questions(), version.backends());
        self.cache.forget(facts);
    }

    /// Accepts an instance that was created off the worker thread, or the reason for its failure.
    pub(super) fn provide(&mut self, instance: Result<Instance, Fault>) {
        self.note_start(&instance);
        if let Some(Ok(instance)) = self.queue.receive(instance) {
            self.instance = Some(instance);
        }
        self.queue.request_for_waiting(&self.version, self.worker);
    }

    /// Stops waiting for instances.
    pub(super) fn close_queue(&mut self) {
        self.queue.close();
    }

    /// Takes the idle instance, or creates one. Returns [`Fault::Starting`] while an instance is
    /// being created off the worker thread.
    fn instance(&mut self) -> Result<Instance, Fault> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        if self.version.isolation() == Isolation::Instance && self.queue.is_creating() {
            return Err(Fault::Starting);
        }
        self.retry.check()?;
        if !self.version.has_maker() {
            let created = self.version.instantiate();
            self.note_start(&created);
            return created;
        }
        if self.version.is_quick() {
            let created = self.version.instantiate_on_worker();
            // The attempt may have shown that the version starts slowly. Then request an instance
            // from another thread.
            if created.is_ok() || self.version.is_quick() {
                self.note_start(&created);
                return created;
            }
        }
        self.queue.request_instance(&self.version, self.worker);
        Err(Fault::Starting)
    }

    fn note_start(&mut self, created: &Result<Instance, Fault>) {
        self.retry.record(created.as_ref().err());
        if let Ok(instance) = created {
            self.cacheability = Some(instance.cacheability());
        }
    }

    /// Caches the decision, if it is cacheable.
    fn remember(
        &mut self,
        request: &mut Request<'_>,
        decision: &Rc<Decision>,
        reads: &Reads,
        reports: &mut Reports,
    ) {
        if !reads.cacheable || self.cacheability() != Some(Cacheability::Cacheable) {
            return;
        }
        let version = &self.version;
        let facts = &mut Facts::of(request, version.questions(), version.backends());
        let inserted = self.cache.insert(&reads.reads, facts, decision);
        if inserted.is_ok() {
            return;
        }
        // The decisions in the cache may be as wrong as the new one.
        self.cache.clear();
        if let Some(more) = reports.admit("inconsistent") {
            tracing::warn!(
                id = request.id.map(|id| display(RequestId(id))),
                frontend = self.version.stage().frontend,
                stage = self.version.stage().name,
                plugin = self.version.plugin_name(),
                version = self.version.number(),
                more,
                "the plugin calls its decisions cacheable, but read or decided otherwise \
                 about the same values: its cached decisions were dropped"
            );
        }
    }
}

/// Spaces out attempts to create an instance after failures.
#[derive(Debug, Default)]
struct Retry {
    pause: Duration,
    next: Option<Instant>,
    reason: String,
}

impl Retry {
    fn has_failed(&self) -> bool {
        self.next.is_some()
    }

    fn check(&self) -> Result<(), Fault> {
        match self.next {
            Some(next) if Instant::now() < next => Err(Fault::Instantiate(self.reason.clone())),
            _ => Ok(()),
        }
    }

    fn record(&mut self, fault: Option<&Fault>) {
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
    async fn an_instance_that_cannot_be_created_is_tried_at_growing_intervals() {
        let mut retry = Retry::default();
        assert!(retry.check().is_ok());
        let mut pause = FIRST_RETRY_PAUSE;
        while pause < MAX_RETRY_PAUSE {
            retry.record(Some(&Fault::Deadline));
            assert!(retry.check().is_err());
            tokio::time::advance(pause).await;
            assert!(retry.check().is_ok(), "after {pause:?}");
            pause *= 2;
        }
        retry.record(None);
        assert!(retry.check().is_ok());
    }
}

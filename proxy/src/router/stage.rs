//! One plugin of a frontend's router in one worker.
//!
//! Chooses which version decides: the active one or a canary, each a `LocalVersion`. Called by
//! `router`.

use std::rc::Rc;
use std::sync::Arc;

use super::decision::{Decider, StageDecision};
use super::instance_queue::Supplied;
use super::local_version::LocalVersion;
use super::reports::Reports;
use super::rollout::{Mode, Rollout};
use super::version::Version;
use crate::config::OnFault;
use crate::plugin::{Cacheability, Decision, Fault, Instance, Reads, Request, Resolver};

/// Returns the decision with the answers to its questions filled in.
fn resolved(
    decision: &Result<Rc<Decision>, Fault>,
    version: &Version,
    request: &mut Request<'_>,
) -> Result<Rc<Decision>, Fault> {
    let decision = decision.as_ref().map_err(Fault::clone)?;
    let mut resolver = Resolver::default();
    resolver.add(decision, version.questions(), request, version.backends());
    Ok(resolver.end().unwrap_or_else(|| Rc::clone(decision)))
}

/// One plugin of a router in one worker: its active version, and a rollout if there is one.
#[derive(Debug)]
pub struct Stage {
    active: LocalVersion,
    rollout: Option<LocalRollout>,
    reads: Reads,
    reports: Reports,
}

/// A rollout in one worker.
#[derive(Debug)]
struct LocalRollout {
    rollout: Arc<Rollout>,
    version: LocalVersion,
    /// Running sum for [`Share::takes_next`](super::rollout::Share::takes_next).
    sum: u32,
}

impl Stage {
    /// Creates the stage in `worker`, with an instance that was created elsewhere. If there is
    /// none, or once it is spent, the next request creates one.
    pub fn new(version: Arc<Version>, instance: Option<Instance>, worker: usize) -> Stage {
        Stage {
            active: LocalVersion::new(version, instance, worker),
            rollout: None,
            reads: Reads::default(),
            reports: Reports::default(),
        }
    }

    /// Applies a change to the stage.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Replace(version, instance) => self.replace(version, instance),
            Change::StartRollout(rollout, instance) => self.start_rollout(rollout, instance),
            Change::EndRollout(end) => self.end_rollout(end),
            Change::Provide(version, instance) => self.provide(&version, instance),
        }
    }

    fn replace(&mut self, version: Arc<Version>, instance: Instance) {
        self.rollout = None;
        self.active = LocalVersion::new(version, Some(instance), self.active.worker());
    }

    /// Drops the stage's instances and cached decisions.
    pub fn retire(&mut self) {
        self.rollout = None;
        let version = Arc::clone(self.active.version());
        self.active = LocalVersion::new(version, None, self.active.worker());
        self.close();
    }

    /// Stops waiting for instances, because the frontend is gone.
    pub fn close(&mut self) {
        self.active.close_queue();
        if let Some(local) = &mut self.rollout {
            local.version.close_queue();
        }
    }

    fn start_rollout(&mut self, rollout: Arc<Rollout>, instance: Option<Instance>) {
        let version = Arc::clone(rollout.version());
        self.rollout = Some(LocalRollout {
            version: LocalVersion::new(version, instance, self.active.worker()),
            rollout,
            sum: 0,
        });
    }

    fn end_rollout(&mut self, end: RolloutEnd) {
        if let (Some(local), RolloutEnd::Promoted) = (self.rollout.take(), end) {
            self.active = local.version;
        }
    }

    fn provide(&mut self, version: &Arc<Version>, instance: Result<Instance, Fault>) {
        if let Some(local) = self.local(version) {
            local.provide(instance);
        }
    }

    fn local(&mut self, version: &Arc<Version>) -> Option<&mut LocalVersion> {
        let candidate = self.rollout.as_mut().map(|local| &mut local.version);
        let mut versions = candidate.into_iter().chain([&mut self.active]);
        versions.find(|local| Arc::ptr_eq(local.version(), version))
    }

    /// Returns the stage's name in the configuration.
    pub fn name(&self) -> &str {
        &self.active.version().stage().name
    }

    /// Returns the active version, which decides for all clients outside a canary's share.
    pub fn version(&self) -> &Arc<Version> {
        self.active.version()
    }

    /// Returns the version that made a decision.
    pub(super) fn decider(&self, by: Decider) -> &Arc<Version> {
        match &self.rollout {
            Some(local) if by == Decider::Canary => local.version.version(),
            _ => self.version(),
        }
    }

    /// Returns where a request goes if the plugin fails on it.
    pub fn on_fault(&self) -> OnFault {
        self.version().on_fault()
    }

    /// Returns whether the plugin allows its decisions to be reused; None before its first
    /// instance.
    pub fn cacheability(&self) -> Option<Cacheability> {
        self.active.cacheability()
    }

    /// Returns the plugin's reads during its last call.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Decides about `request`. Uses the cache if the plugin could not distinguish the request from
    /// an earlier one; otherwise calls the plugin. Logs a fault. If a canary faults, the active
    /// version decides.
    ///
    /// `supplied` is the instance that the request has waited for after an earlier call.
    pub fn decide(
        &mut self,
        request: &mut Request<'_>,
        supplied: Option<Supplied>,
    ) -> StageDecision {
        // While the request waited, the version may have been replaced, or the trial may have
        // ended.
        let is_of = |version: &Arc<Version>| {
            let supplied = supplied.as_ref();
            supplied.is_some_and(|supplied| Arc::ptr_eq(&supplied.version, version))
        };
        let active = self.active.version();
        let (supplied, for_canary) = match &self.rollout {
            _ if is_of(active) => (supplied, None),
            Some(local) if is_of(local.version.version()) => (None, supplied),
            _ => (None, None),
        };
        let is_taken = for_canary.is_some() || supplied.is_none() && self.takes(request);
        if is_taken && let Some(decision) = self.decide_by_canary(request, for_canary) {
            return decision;
        }
        let active = self
            .active
            .decide(request, supplied, &mut self.reads, &mut self.reports);
        if active.wait.is_some() {
            return active;
        }
        if let Err(fault) = &active.decision {
            self.reports.fault(self.active.version(), fault, request.id);
        }
        self.mirror(request, &active);
        active
    }

    /// Returns whether the canary, if there is one, should decide about the request.
    fn takes(&mut self, request: &Request<'_>) -> bool {
        let Some(local) = &mut self.rollout else {
            return false;
        };
        let rollout = &local.rollout;
        if rollout.mode() != Mode::Canary {
            return false;
        }
        match request.client.address.as_str() {
            // Clients on a Unix socket have no address to distinguish them, so a share of the
            // requests is used.
            "" => rollout.share().takes_next(&mut local.sum),
            address => rollout.share().takes_client(address),
        }
    }

    /// Returns the canary's decision; None after a fault of the canary.
    fn decide_by_canary(
        &mut self,
        request: &mut Request<'_>,
        supplied: Option<Supplied>,
    ) -> Option<StageDecision> {
        let local = self.rollout.as_mut()?;
        let rollout = &local.rollout;
        let canary = local
            .version
            .decide(request, supplied, &mut self.reads, &mut self.reports);
        if canary.wait.is_some() {
            return Some(canary);
        }
        let results = rollout.results();
        results.record(self.active.worker(), &canary.decision);
        match &canary.decision {
            Ok(_) => Some(StageDecision {
                by: Decider::Canary,
                ..canary
            }),
            Err(fault) => {
                self.reports.fault(rollout.version(), fault, request.id);
                None
            }
        }
    }

    /// Calls the mirrored version as well, if the request is part of its share. The result has no
    /// effect on the request.
    fn mirror(&mut self, request: &mut Request<'_>, active: &StageDecision) {
        let Some(local) = &mut self.rollout else {
            return;
        };
        let rollout = &local.rollout;
        if rollout.mode() != Mode::Mirror || !rollout.share().takes_next(&mut local.sum) {
            return;
        }
        let mirrored = local
            .version
            .decide(request, None, &mut self.reads, &mut self.reports);
        // A mirrored request does not wait for an instance. The next mirrored request will use the
        // instance.
        if mirrored.wait.is_some() {
            return;
        }
        if let Err(fault) = &mirrored.decision {
            self.reports.fault(rollout.version(), fault, request.id);
        }
        let worker = self.active.worker();
        // Compare decisions with their answers filled in: the same question can have different
        // numbers in the two versions.
        let own = resolved(&active.decision, self.active.version(), request);
        let other = resolved(&mirrored.decision, local.version.version(), request);
        let results = rollout.results();
        results.compare(worker, request.head, &own, &other);
    }

    /// Removes the cached decisions of the stage's versions for requests like this one.
    pub fn forget(&mut self, request: &mut Request<'_>) {
        self.active.forget(request);
        if let Some(local) = &mut self.rollout {
            local.version.forget(request);
        }
    }

    /// Returns whether `version` is the active version or the one being rolled out.
    pub(super) fn has(&self, version: &Arc<Version>) -> bool {
        let candidate = self.rollout.as_ref().map(|local| &local.version);
        let mut versions = candidate.into_iter().chain([&self.active]);
        versions.any(|local| Arc::ptr_eq(local.version(), version))
    }

    /// Calls the plugin, without the cache.
    ///
    /// # Errors
    /// The plugin's [`Fault`].
    pub fn call(&mut self, request: &mut Request<'_>) -> Result<Rc<Decision>, Fault> {
        self.active.call(request, None, &mut self.reads)
    }
}

/// A change to a stage while it is in service.
#[derive(Debug)]
pub enum Change {
    /// Another version becomes active, with this instance. The old version's cached decisions are
    /// dropped, and any rollout ends.
    Replace(Arc<Version>, Instance),
    /// A version is rolled out alongside the active one. Without an instance, the next request for
    /// it creates one.
    StartRollout(Arc<Rollout>, Option<Instance>),
    /// The rollout ends. Its version becomes active and keeps its cached decisions, or is dropped.
    EndRollout(RolloutEnd),
    /// An instance that was created off the worker thread, or the reason for the failure, and its
    /// version. The version may have been replaced in the meantime.
    Provide(Arc<Version>, Result<Instance, Fault>),
}

/// How a rollout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutEnd {
    /// The version becomes active.
    Promoted,
    /// The version is dropped.
    Aborted,
}

//! A frontend's router in one worker: from a head to a decision.
//!
//! Says which version of the plugin decides; a `Seat` is one of them. Called by `request`;
//! with its files, the only caller of `plugin` on the way of a request.

mod breaker;
mod bundled;
mod cache;
mod reports;
mod seat;
pub mod stats;
pub mod trial;
pub mod version;
pub mod versions;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFault;
use crate::http::head::Head;
use crate::plugin::{
    BackendName, Cacheability, Decision, Edit, Fault, Instance, Outcome, Reads, Response,
};

use self::reports::Reports;
use self::seat::Seat;
use self::trial::{Mode, Trial};
use self::version::Version;

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
    by: Decider,
}

/// Which version gave a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decider {
    Active,
    Candidate,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// To the backend with this name.
    Backend(BackendName),
    /// To the frontend's default backend.
    Default,
    /// Nowhere: this is the answer.
    Respond(Response),
}

/// The router of a frontend in one worker.
#[derive(Debug)]
pub struct Router {
    active: Seat,
    candidate: Option<Candidate>,
    reads: Reads,
    reports: Reports,
}

/// A version on trial, in one worker.
#[derive(Debug)]
struct Candidate {
    trial: Arc<Trial>,
    seat: Seat,
    /// Of the shares of the requests so far.
    sum: u32,
}

impl Router {
    /// The router of `worker`, with an instance made for it elsewhere. Without one, or where
    /// it is spent, one is made when the first request comes.
    pub fn new(version: Arc<Version>, instance: Option<Instance>, worker: usize) -> Router {
        Router {
            active: Seat::new(version, instance, worker),
            candidate: None,
            reads: Reads::default(),
            reports: Reports::default(),
        }
    }

    /// Takes up a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Replace(version, instance) => self.replace(version, instance),
            Change::Try(trial, instance) => self.try_out(trial, instance),
            Change::EndTrial(end) => self.end_trial(end),
            Change::Provide(version, instance) => self.provide(&version, instance),
        }
    }

    fn replace(&mut self, version: Arc<Version>, instance: Instance) {
        self.candidate = None;
        self.active = Seat::new(version, Some(instance), self.active.worker());
    }

    /// Gives back what it holds: its instances, and what they have decided.
    pub fn retire(&mut self) {
        self.candidate = None;
        let version = Arc::clone(self.active.version());
        self.active = Seat::new(version, None, self.active.worker());
    }

    fn try_out(&mut self, trial: Arc<Trial>, instance: Instance) {
        let version = Arc::clone(trial.version());
        self.candidate = Some(Candidate {
            seat: Seat::new(version, Some(instance), self.active.worker()),
            trial,
            sum: 0,
        });
    }

    fn end_trial(&mut self, end: TrialEnd) {
        if let (Some(candidate), TrialEnd::Promoted) = (self.candidate.take(), end) {
            self.active = candidate.seat;
        }
    }

    fn provide(&mut self, version: &Arc<Version>, instance: Result<Instance, Fault>) {
        let candidate = self.candidate.as_mut().map(|candidate| &mut candidate.seat);
        let mut seats = candidate.into_iter().chain([&mut self.active]);
        if let Some(seat) = seats.find(|seat| Arc::ptr_eq(seat.version(), version)) {
            seat.provide(instance);
        }
    }

    /// The plugin version that decides, but for who is part of a trial.
    pub fn version(&self) -> &Arc<Version> {
        self.active.version()
    }

    /// The version that gave this verdict.
    pub fn decider(&self, verdict: &Verdict) -> &Arc<Version> {
        match &self.candidate {
            Some(candidate) if verdict.by == Decider::Candidate => candidate.seat.version(),
            _ => self.version(),
        }
    }

    /// Where a request goes on which the plugin fails.
    pub fn on_fault(&self) -> OnFault {
        self.version().on_fault()
    }

    /// Whether the plugin's decisions may be reused, as far as it says.
    pub fn cacheability(&self) -> Option<Cacheability> {
        self.active.cacheability()
    }

    /// What the plugin read when it was last asked.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// A decision about `head`: one that was made before, where the plugin could not tell
    /// the two requests apart, or the plugin's. A fault is logged; one of a version on trial
    /// leaves the decision to the active one.
    pub fn decide(&mut self, head: &mut Head) -> Verdict {
        if let Some(verdict) = self.decide_on_trial(head) {
            return verdict;
        }
        let verdict = self.active.decide(head, &mut self.reads, &mut self.reports);
        if let Err(fault) = &verdict.decided {
            self.reports.fault(self.active.version(), fault);
        }
        self.compare(head, &verdict);
        verdict
    }

    /// The version on trial decides, if the client is part of its share.
    fn decide_on_trial(&mut self, head: &mut Head) -> Option<Verdict> {
        let candidate = self.candidate.as_mut()?;
        let trial = &candidate.trial;
        if trial.mode() != Mode::Canary {
            return None;
        }
        let is_taken = match head.client.address.as_str() {
            // Over a Unix socket all clients are alike.
            "" => trial.share().takes_next(&mut candidate.sum),
            address => trial.share().takes_client(address),
        };
        if !is_taken {
            return None;
        }
        let verdict = candidate
            .seat
            .decide(head, &mut self.reads, &mut self.reports);
        trial.decided(self.active.worker(), &verdict.decided);
        match &verdict.decided {
            Ok(_) => Some(Verdict {
                by: Decider::Candidate,
                ..verdict
            }),
            Err(fault) => {
                self.reports.fault(trial.version(), fault);
                None
            }
        }
    }

    /// The version on trial is asked as well, without effect, if it is this request's turn.
    fn compare(&mut self, head: &mut Head, verdict: &Verdict) {
        let Some(candidate) = &mut self.candidate else {
            return;
        };
        let trial = &candidate.trial;
        if trial.mode() != Mode::Shadow || !trial.share().takes_next(&mut candidate.sum) {
            return;
        }
        let shadow = candidate
            .seat
            .decide(head, &mut self.reads, &mut self.reports);
        if let Err(fault) = &shadow.decided {
            self.reports.fault(trial.version(), fault);
        }
        let worker = self.active.worker();
        trial.compared(worker, head, &verdict.decided, &shadow.decided);
    }

    /// Asks the plugin, whatever it said before.
    ///
    /// # Errors
    /// The plugin's [`Fault`].
    pub fn ask(&mut self, head: &mut Head) -> Result<Rc<Decided>, Fault> {
        self.active.ask(head, &mut self.reads)
    }
}

/// What changes in a router while it serves.
#[derive(Debug)]
pub enum Change {
    /// Another version decides, with this instance. What the old one decided is forgotten,
    /// and a trial has ended.
    Replace(Arc<Version>, Instance),
    /// A version is put on trial.
    Try(Arc<Trial>, Instance),
    /// The trial ends: its version is put into service with all that it has decided, or goes.
    EndTrial(TrialEnd),
    /// An instance of a version that was made elsewhere, or why it could not be made. By then
    /// another may decide.
    Provide(Arc<Version>, Result<Instance, Fault>),
}

/// How a trial ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialEnd {
    /// The version takes over.
    Promoted,
    /// The version goes.
    Aborted,
}

impl From<Outcome> for Decided {
    fn from(outcome: Outcome) -> Decided {
        Decided {
            route: match outcome.decision {
                Decision::Backend(name) => Route::Backend(name),
                Decision::Default => Route::Default,
                Decision::Respond(response) => Route::Respond(response),
            },
            edits: outcome.edits,
        }
    }
}

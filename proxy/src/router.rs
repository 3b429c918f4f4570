//! A frontend's router in one worker: from a head to a decision.
//!
//! Says which version of the plugin decides; a `Seat` is one of them. Called by `request`;
//! with its files, the only caller of `plugin` on the way of a request.

mod breaker;
mod cache;
mod reports;
mod seat;
pub mod stats;
pub mod version;
pub mod versions;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFault;
use crate::http::head::Head;
use crate::plugin::{Cacheability, Decision, Edit, Fault, Instance, Outcome, Reads, Response};

use self::reports::Reports;
use self::seat::Seat;
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
    active: Seat,
    reads: Reads,
    reports: Reports,
}

impl Router {
    /// The router of `worker`, with an instance made for it elsewhere. Without one, or where
    /// it is spent, one is made when the first request comes.
    pub fn new(version: Arc<Version>, instance: Option<Instance>, worker: usize) -> Router {
        Router {
            active: Seat::new(version, instance, worker),
            reads: Reads::default(),
            reports: Reports::default(),
        }
    }

    /// Puts another version into service; what the old one decided is forgotten.
    pub fn replace(&mut self, version: Arc<Version>, instance: Instance) {
        self.active.replace(version, instance);
    }

    /// Takes an instance that was made elsewhere, or hears why it could not be made.
    pub fn provide(&mut self, number: u32, instance: Result<Instance, Fault>) {
        if self.active.version().number() == number {
            self.active.provide(instance);
        }
    }

    /// The plugin version that decides.
    pub fn version(&self) -> &Arc<Version> {
        self.active.version()
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
    /// the two requests apart, or the plugin's. A fault is logged.
    pub fn decide(&mut self, head: &mut Head) -> Verdict {
        let verdict = self.active.decide(head, &mut self.reads, &mut self.reports);
        if let Err(fault) = &verdict.decided {
            self.reports.fault(self.active.version(), fault);
        }
        verdict
    }

    /// Asks the plugin, whatever it said before.
    ///
    /// # Errors
    /// The plugin's [`Fault`].
    pub fn ask(&mut self, head: &mut Head) -> Result<Rc<Decided>, Fault> {
        self.active.ask(head, &mut self.reads)
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

//! The result of a router: its plugins' decisions, and how they were reached.
//!
//! Plain values. Created by `local_version` and `router`, read by `request`.

use std::rc::Rc;

use super::supply::Wait;
use crate::plugin::{Decision, Fault};

/// A router's decision about one request, and where it came from.
#[derive(Debug)]
pub struct RouterDecision {
    /// The decisions of all stages put together, without questions left in it; the fault of one whose
    /// `on_fault` is `reject`.
    ///
    /// [`Route::Next`](crate::plugin::Route::Next): no stage has named a backend.
    pub decision: Result<Rc<Decision>, Fault>,
    /// Whether every stage that was asked had decided about an earlier request like this one.
    pub cached: bool,
    /// The kind of the last fault of a stage, whatever became of the request.
    pub fault: Option<&'static str>,
    /// The request can wait for an instance, and be decided about then; until it is supplied the
    /// decision is [`Fault::Starting`].
    pub wait: Option<Wait>,
    /// What each stage said, if the router explains itself.
    pub explanation: Option<String>,
    /// Position of the stage that had the last word.
    pub(super) stage: usize,
    pub(super) by: Decider,
}

/// One plugin's decision about one request.
#[derive(Debug)]
pub struct StageDecision {
    /// The plugin's decision, or its fault.
    pub decision: Result<Rc<Decision>, Fault>,
    /// Whether it was made for an earlier request.
    pub cached: bool,
    /// As in [`RouterDecision`].
    pub wait: Option<Wait>,
    pub(super) by: Decider,
}

/// Which version made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decider {
    Active,
    Canary,
}

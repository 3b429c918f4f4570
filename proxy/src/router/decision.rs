//! The result of a router: the combined decision of its plugins, and how it was reached.
//!
//! Contains plain values. Created by `local_version` and `router`; read by `request`.

use std::rc::Rc;

use super::instance_queue::Wait;
use crate::plugin::{Decision, Fault};

/// A router's decision about one request, and its origin.
#[derive(Debug)]
pub struct RouterDecision {
    /// The combined decision of all stages, with the answers to its questions filled in, or the
    /// fault of a stage whose `on_fault` is `reject`.
    ///
    /// The route is [`Route::Next`](crate::plugin::Route::Next) if no stage has named a backend.
    pub decision: Result<Rc<Decision>, Fault>,
    /// Whether the decisions of all stages that were consulted came from the cache.
    pub cached: bool,
    /// The kind of the last fault of a stage, if any, even if the request was routed.
    pub fault: Option<&'static str>,
    /// Set if the request can wait for an instance and then be routed. In that case `decision` is
    /// [`Fault::Starting`].
    pub wait: Option<Wait>,
    /// The decision of each stage, if the router explains its decisions.
    pub explanation: Option<String>,
    /// Position of the stage that made the final decision.
    pub(super) stage: usize,
    pub(super) by: Decider,
}

/// One plugin's decision about one request.
#[derive(Debug)]
pub struct StageDecision {
    /// The plugin's decision, or its fault.
    pub decision: Result<Rc<Decision>, Fault>,
    /// Whether the decision came from the cache.
    pub cached: bool,
    /// Same as [`RouterDecision::wait`].
    pub wait: Option<Wait>,
    pub(super) by: Decider,
}

/// The version that made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decider {
    Active,
    Canary,
}

//! The result of a router: a plugin's decision, and how it was reached.
//!
//! Plain values. Created by `local_version`, read by `router` and `request`.

use std::rc::Rc;

use super::supply::Wait;
use crate::plugin::{Decision, Fault};

/// A decision about one request, and where it came from.
#[derive(Debug)]
pub struct RouterDecision {
    /// The plugin's decision, or its fault.
    pub decision: Result<Rc<Decision>, Fault>,
    /// Whether it was made for an earlier request.
    pub cached: bool,
    /// The request can wait for an instance, and be decided about then; until it is supplied the
    /// decision is [`Fault::Starting`].
    pub wait: Option<Wait>,
    pub(super) by: Decider,
}

/// Which version made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decider {
    Active,
    Canary,
}

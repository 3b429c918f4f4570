//! How far a router has come with a request that waits for an instance.

use crate::plugin::Resolver;

/// How far a router has come with a request that waits.
#[derive(Debug)]
pub(super) struct Progress {
    /// Position of the stage that decides next.
    pub(super) stage: usize,
    /// What the stages before it have decided.
    pub(super) resolver: Resolver,
    /// Whether none of those had to be asked.
    pub(super) cached: bool,
    pub(super) fault: Option<&'static str>,
    pub(super) explanation: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            stage: 0,
            resolver: Resolver::default(),
            cached: true,
            fault: None,
            explanation: None,
        }
    }
}

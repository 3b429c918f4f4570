//! Progress of a request that waits for an instance.

use crate::plugin::Resolver;

/// Progress of a request through the stages of a router, kept while the request waits.
#[derive(Debug)]
pub(super) struct Progress {
    /// Position of the stage that decides next.
    pub(super) stage: usize,
    /// Combined decision of the earlier stages.
    pub(super) resolver: Resolver,
    /// Whether the decisions of all earlier stages came from the cache.
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

//! Tables of a configuration that is not in force any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::tables::Tables;

/// Requests of a router that was replaced may read its tables for this long. A worker takes a new
/// configuration within milliseconds.
const SUPERSEDED_TIME: Duration = Duration::from_secs(5);

/// The tables of a configuration before, which versions that are kept for a rollback still refer to.
#[derive(Debug)]
pub(super) struct Superseded {
    tables: Arc<Tables>,
    since: Instant,
}

impl Superseded {
    pub(super) fn now(tables: Arc<Tables>) -> Superseded {
        Superseded {
            tables,
            since: Instant::now(),
        }
    }

    /// Whether no request reads them any more.
    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() >= SUPERSEDED_TIME
    }

    /// Frees their contents.
    pub(super) fn clear(self) {
        self.tables.clear();
        self.tables.sweep();
    }
}

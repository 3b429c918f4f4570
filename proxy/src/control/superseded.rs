//! Tables of configurations that are no longer in force.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::tables::Tables;

/// Time after which no request of a replaced router reads its tables any more. A worker applies a
/// new configuration within milliseconds.
const SUPERSEDED_TIME: Duration = Duration::from_secs(5);

/// The tables of an earlier configuration. Versions that are kept for rollbacks still refer to
/// them, so their contents are freed explicitly.
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

    /// Returns whether enough time has passed that no request can still read these tables.
    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() >= SUPERSEDED_TIME
    }

    /// Frees the contents of the tables.
    pub(super) fn clear(self) {
        self.tables.clear();
        self.tables.sweep();
    }
}

//! Values that stay the same for the whole life of a request, so that the answers to its questions
//! do as well.

use std::cell::OnceCell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use crate::tables::{TableSet, Tables};

/// Values fixed once per request and kept across its attempts: a random number, and the tables as
/// they were when the request first needed them.
#[derive(Debug, Default)]
pub struct Draws {
    random: OnceCell<u64>,
    tables: OnceCell<Arc<TableSet>>,
}

impl Draws {
    /// Creates the draws of a request with a given random number; for tests of plugins.
    pub fn with_random(random: u64) -> Draws {
        Draws {
            random: random.into(),
            tables: OnceCell::new(),
        }
    }

    pub(super) fn random(&self) -> u64 {
        // Each `RandomState` has different keys, derived from random keys of the thread.
        let draw = || RandomState::new().build_hasher().finish();
        *self.random.get_or_init(draw)
    }

    pub(super) fn tables(&self, tables: &Tables) -> &TableSet {
        self.tables.get_or_init(|| tables.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_stays_and_the_next_differs() {
        let draws = Draws::default();
        assert_eq!(draws.random(), draws.random());
        assert_ne!(draws.random(), Draws::default().random());
        assert_eq!(Draws::with_random(7).random(), 7);
        assert!(size_of::<Draws>() <= 32);
    }
}

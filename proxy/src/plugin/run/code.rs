//! A component's code: in memory, or only on disk while nobody runs it.
//!
//! Versions that were in service are kept, so that they can be gone back to. Their code, some
//! 50 MB for Python, is given back meanwhile where a [`CompiledCache`] has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Engine;
use super::link::{self, Loaded};
use crate::plugin::compile::cache::{CompiledCache, Entry, Key};

/// The code of one component.
#[derive(Debug)]
pub(super) struct Code {
    place: Mutex<Place>,
    /// Bytes that the host keeps for each instance.
    footprint: usize,
    stored: Option<(CompiledCache, Key)>,
}

enum Place {
    Memory(Arc<Loaded>),
    /// Open, so that it is there whatever becomes of its name.
    Disk(Entry),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Memory(_) => "Memory",
            Place::Disk(_) => "Disk",
        })
    }
}

impl Code {
    /// `stored` is where it may be read again.
    pub(super) fn new(
        loaded: Loaded,
        footprint: usize,
        stored: Option<(CompiledCache, Key)>,
    ) -> Code {
        Code {
            place: Mutex::new(Place::Memory(Arc::new(loaded))),
            footprint,
            stored,
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.footprint
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Each change of place is one assignment.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code, reloaded if it was evicted.
    ///
    /// # Errors
    /// Its file has been changed since, or cannot be read.
    pub(super) fn get(&self, engine: &Engine) -> Result<Arc<Loaded>, String> {
        let mut place = self.place();
        let entry = match &*place {
            Place::Memory(loaded) => return Ok(Arc::clone(loaded)),
            Place::Disk(entry) => entry,
        };
        let lost = |why: String| format!("its compiled code is lost: {why}");
        let code = entry.read().map_err(|error| lost(error.to_string()))?;
        let code = code.ok_or_else(|| lost("the file is damaged".to_owned()))?;
        let loaded = link::reload(engine, &code).map_err(|error| lost(error.to_string()))?;
        let loaded = Arc::new(loaded);
        *place = Place::Memory(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Frees the memory, once no instance runs, if there is a file to reload it from.
    pub(super) fn evict(&self) {
        let mut place = self.place();
        if let (Place::Memory(_), Some((cache, key))) = (&*place, &self.stored)
            && let Some(entry) = cache.entry(key)
        {
            *place = Place::Disk(entry);
        }
    }
}

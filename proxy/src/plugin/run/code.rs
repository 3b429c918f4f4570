//! A component's code: in memory, or only on disk while no instance runs it.
//!
//! Former versions are kept for rollback. While no instance runs such a version, the memory of its
//! code (some 50 MB for Python) is freed if a [`CompiledCache`] has the code.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::engine::Engine;
use super::link::{self, Loaded};
use crate::plugin::compile::cache::{CompiledCache, Entry, Key};

/// The code of one component.
#[derive(Debug)]
pub(super) struct Code {
    place: Mutex<Place>,
    /// Bytes of the host's data for each instance.
    footprint: usize,
    stored: Option<(CompiledCache, Key)>,
}

enum Place {
    Memory(Arc<Loaded>),
    /// The code is on disk. Its file is kept open, so that it can be read even after it is removed.
    /// The code is in memory as well for as long as another owner holds it.
    Disk(Arc<Entry>, Weak<Loaded>),
    /// Serialized machine code that is not loaded yet and not stored on disk.
    Image(Arc<[u8]>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Memory(_) => "Memory",
            Place::Disk(..) => "Disk",
            Place::Image(_) => "Image",
        })
    }
}

impl Code {
    /// Wraps loaded code. `stored` is the cache entry from which the code can be read again.
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
        // A poisoned lock is harmless, since the place only ever changes by one assignment.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the same code for another engine, which loads the code on first use.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(super) fn unloaded(&self) -> Result<Code, String> {
        let place = match &*self.place() {
            Place::Memory(loaded) => match self.entry() {
                Some(entry) => Place::Disk(entry, Weak::new()),
                None => Place::Image(loaded.image().map_err(|error| error.to_string())?.into()),
            },
            Place::Disk(entry, _) => Place::Disk(Arc::clone(entry), Weak::new()),
            Place::Image(code) => Place::Image(Arc::clone(code)),
        };
        Ok(Code {
            place: Mutex::new(place),
            footprint: self.footprint,
            stored: self.stored.clone(),
        })
    }

    /// Opens the file from which the code can be read again.
    fn entry(&self) -> Option<Arc<Entry>> {
        let (cache, key) = self.stored.as_ref()?;
        cache.entry(key).map(Arc::new)
    }

    /// Returns the code, and loads it first if necessary.
    ///
    /// # Errors
    /// The file is damaged or cannot be read, or the engine cannot load the code.
    pub(super) fn get(&self, engine: &Engine) -> Result<Arc<Loaded>, String> {
        let mut place = self.place();
        let lost = |why: String| format!("its compiled code is lost: {why}");
        let loaded = match &*place {
            Place::Memory(loaded) => return Ok(Arc::clone(loaded)),
            Place::Disk(entry, loaded) => {
                if let Some(loaded) = loaded.upgrade() {
                    return Ok(loaded);
                }
                let code = entry.read().map_err(|error| lost(error.to_string()))?;
                let code = code.ok_or_else(|| lost("the file is damaged".to_owned()))?;
                link::reload(engine, &code)
            }
            Place::Image(code) => link::reload(engine, code),
        };
        let loaded = Arc::new(loaded.map_err(|error| lost(error.to_string()))?);
        *place = Place::Memory(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Frees the code's memory as soon as no other owner holds it, if there is a file to reload the
    /// code from.
    pub(super) fn evict(&self) {
        let mut place = self.place();
        if let Place::Memory(loaded) = &*place
            && let Some(entry) = self.entry()
        {
            *place = Place::Disk(entry, Arc::downgrade(loaded));
        }
    }
}

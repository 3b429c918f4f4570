//! Files of tables in force: taken up when they change, and saved.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::error::{SaveError, TableError};
use super::load::{Found, IsBackend, Known, Loaded, Origin, Refused, load};
use super::registry::Tables;
use super::save::Draft;
use super::slot::{Change, Failure, Slot};

/// The result of looking at a table's file.
#[derive(Debug)]
pub enum Refreshed {
    /// There is nothing to do: it is in force.
    Known,
    /// It is to be put into force.
    Loaded(Loaded),
    /// It is refused, and the table before stays.
    Refused {
        /// Why.
        error: TableError,
        /// Whether the last call had another file or reason, or none.
        is_news: bool,
        /// Whether the same file may be right in a while.
        is_transient: bool,
    },
}

/// The fate of a file that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It is in force.
    InForce(Change),
    /// A later reading is in force, or the table is gone.
    Overtaken,
}

/// A table that was written to its file.
#[derive(Debug)]
pub struct Saved {
    /// As it was written.
    slot: Slot,
    /// The new file.
    origin: Origin,
}

impl Tables {
    /// Looks at a table's file, and loads it if it is not in force.
    pub fn refresh(&self, name: &str, path: &Path, is_backend: IsBackend<'_>) -> Refreshed {
        let Some(file) = self.slot_of(name, path).map(|slot| slot.file) else {
            return Refreshed::Known;
        };
        let _held = file.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been saved meanwhile.
        let Some(slot) = self.slot_of(name, path) else {
            return Refreshed::Known;
        };
        let found = load(&slot.config, Known::Trusted(&slot.origin), is_backend);
        let mut state = self.lock();
        let slot = state.slots.iter_mut().find(|slot| slot.is(name, path));
        let Some(slot) = slot else {
            return Refreshed::Known;
        };
        match found {
            Ok(Found::New(loaded)) => Refreshed::Loaded(loaded),
            Ok(Found::Same(origin)) => {
                if origin.reading >= slot.origin.reading {
                    slot.origin = origin;
                    slot.failure = None;
                }
                Refreshed::Known
            }
            Err(Refused { stamp, error }) => {
                let reason = error.to_string();
                let failure = Some(Failure { stamp, reason });
                let is_news = slot.failure != failure;
                slot.failure = failure;
                Refreshed::Refused {
                    is_news,
                    // Its rights may be changed without a change of the file.
                    is_transient: matches!(error, TableError::Read(_)),
                    error,
                }
            }
        }
    }

    /// Puts a file into force that [`refresh`](Self::refresh) has loaded.
    pub fn install(&self, name: &str, path: &Path, loaded: Loaded) -> Installed {
        let mut state = self.lock();
        let mut slots = state.slots.iter_mut();
        let slot = slots.find(|slot| slot.is(name, path));
        let slot = slot.filter(|slot| slot.origin.reading < loaded.origin.reading);
        let Some(slot) = slot else {
            return Installed::Overtaken;
        };
        let installed = Installed::InForce(Change {
            table: name.to_owned(),
            file: path.to_owned(),
            entries: Some(loaded.table.len()),
            dropped: slot.unsaved(),
        });
        let old = std::mem::replace(&mut slot.table, loaded.table);
        slot.origin = loaded.origin;
        slot.saved = slot.changes;
        slot.failure = None;
        state.retired.push(old);
        self.publish(&state);
        installed
    }

    /// Writes a table to its file. `record` is to [record](Self::record) that in the tables in force,
    /// which may have become others meanwhile. The file is not read before `record` has returned.
    ///
    /// # Errors
    /// [`SaveError`].
    pub fn save(&self, name: &str, record: impl FnOnce(Saved)) -> Result<PathBuf, SaveError> {
        let no_table = || SaveError::NoTable(name.to_owned());
        let file = self.slot(name).ok_or_else(no_table)?.file;
        let _held = file.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.slot(name).ok_or_else(no_table)?;
        let origin = Draft::write(&slot.table, &slot.config, &slot.origin)?.persist()?;
        let path = slot.config.file.clone();
        record(Saved { slot, origin });
        Ok(path)
    }

    /// Records that a table was saved, unless another file of it is in force by now.
    pub fn record(&self, saved: Saved) {
        let Saved { slot, origin } = saved;
        let mut state = self.lock();
        let mut slots = state.slots.iter_mut();
        let now = slots.find(|now| now.is(&slot.config.name, &slot.config.file));
        if let Some(now) = now.filter(|now| now.origin == slot.origin) {
            now.origin = origin;
            now.saved = slot.changes;
            now.failure = None;
        }
    }

    /// Drops all contents: no request asks any more.
    pub fn clear(&self) {
        self.replace(Vec::new());
    }
}

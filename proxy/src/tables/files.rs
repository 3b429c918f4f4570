//! Files of active tables: reloads tables from files that change, and saves tables to their files.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::error::{SaveError, TableError};
use super::load::{Found, IsBackend, Known, Loaded, Origin, Refused, load};
use super::registry::Tables;
use super::save::Draft;
use super::slot::{Change, Failure, Slot};

/// Result of checking a table's file.
#[derive(Debug)]
pub enum Refreshed {
    /// The contents of the file are already active, so nothing has to be done.
    Known,
    /// The file was loaded; the result has to be installed.
    Loaded(Loaded),
    /// The file is rejected, and the previous table stays active.
    Refused {
        /// Reason for the rejection.
        error: TableError,
        /// Whether this differs from the result of the previous check: another file, another
        /// reason, or no error.
        is_news: bool,
        /// Whether the same file may be accepted later.
        is_transient: bool,
    },
}

/// Result of installing a loaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// The contents of the file are now active.
    InForce(Change),
    /// The contents are outdated: a file that was read later is active, or the table is gone.
    Overtaken,
}

/// A table that was written to its file.
#[derive(Debug)]
pub struct Saved {
    /// The table as it was when it was written.
    slot: Slot,
    /// Identity of the new file.
    origin: Origin,
}

impl Tables {
    /// Checks a table's file, and loads it unless its contents are already active.
    pub fn refresh(&self, name: &str, path: &Path, is_backend: IsBackend<'_>) -> Refreshed {
        let Some(file) = self.slot_of(name, path).map(|slot| slot.file) else {
            return Refreshed::Known;
        };
        let _held = file.lock().unwrap_or_else(PoisonError::into_inner);
        // Look the table up again: it may have been saved while this thread waited for the lock.
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
                    // A read error is transient, since permissions can change without a change to
                    // the file.
                    is_transient: matches!(error, TableError::Read(_)),
                    error,
                }
            }
        }
    }

    /// Activates a table that [`refresh`](Self::refresh) has loaded.
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

    /// Writes a table to its file.
    ///
    /// `record` must [record](Self::record) the save in the active tables. These may have been
    /// replaced by another `Tables` in the meantime. The file is not read again before `record` has
    /// returned.
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

    /// Records that a table was saved, unless the active table comes from another reading of the
    /// file by now.
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

    /// Drops the contents of all tables. Call this only when no more requests use them.
    pub fn clear(&self) {
        self.replace(Vec::new());
    }
}

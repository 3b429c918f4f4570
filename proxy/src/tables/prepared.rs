//! Tables of a new configuration, before they are activated.

use std::sync::{Arc, PoisonError};

use super::error::TableError;
use super::load::{Found, IsBackend, Known, check_value, load};
use super::registry::Tables;
use super::slot::{Change, Failure, Slot};
use crate::config::{self, TableValues};

/// Tables that are ready to be activated. Nothing changes until then.
#[derive(Debug)]
pub struct PreparedTables {
    tables: Arc<Tables>,
    slots: Vec<Prepared>,
}

/// Tables that were activated.
#[derive(Debug)]
pub struct CommittedTables {
    /// All tables of the configuration.
    pub tables: Arc<Tables>,
    /// Changes: tables with new contents, and tables that are gone.
    pub changes: Vec<Change>,
}

#[derive(Debug)]
struct Prepared {
    slot: Slot,
    /// Whether the contents of the file are already active, so that manual changes are kept.
    is_kept: bool,
    /// Error that was known of the file before preparation read it and found it valid.
    failure: Option<Failure>,
}

/// Whether the prepared tables can be activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitCheck {
    /// The tables can be activated.
    Current,
    /// A table has changed in the meantime and now names a backend that the configuration does not
    /// have.
    Stale,
}

impl PreparedTables {
    /// Reads the files of `tables`, unless their contents are already active in `active`. Blocks.
    ///
    /// # Errors
    /// The error of every table that is invalid, with the table's name.
    pub fn new(
        tables: &[config::Table],
        active: Option<&Arc<Tables>>,
        is_backend: IsBackend<'_>,
    ) -> Result<PreparedTables, Vec<(String, TableError)>> {
        let mut slots = Vec::new();
        let mut mistakes = Vec::new();
        for config in tables {
            match prepare(config, active, is_backend) {
                Ok(prepared) => slots.push(prepared),
                Err(error) => mistakes.push((config.name.clone(), error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let new = Tables::new(slots.iter().map(|one| one.slot.clone()).collect());
        let same = active.filter(|active| active.is_like(&new));
        Ok(PreparedTables {
            tables: same.map_or_else(|| Arc::new(new), Arc::clone),
            slots,
        })
    }

    /// Returns the tables that are active, or will be active after the commit.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Checks whether the prepared tables can replace `active` in its current state.
    pub fn check_commit(&self, active: &Tables, is_backend: IsBackend<'_>) -> CommitCheck {
        let is_right = |prepared: &Prepared| match active.slot(&prepared.slot.config.name) {
            Some(now)
                if prepared.is_in_force(&now) && !Arc::ptr_eq(&now.table, &prepared.slot.table) =>
            {
                let values = prepared.slot.config.values;
                check_all(&now, values, is_backend).is_ok()
            }
            _ => true,
        };
        if self.slots.iter().all(is_right) {
            CommitCheck::Current
        } else {
            CommitCheck::Stale
        }
    }

    /// Activates the tables. Changes made to `active` in the meantime are kept.
    pub fn commit(self, active: Option<&Tables>) -> CommittedTables {
        let mut changes = active.map_or_else(Vec::new, |active| self.removed_from(active));
        let slots = self.slots.into_iter().map(|prepared| {
            let before = active.and_then(|active| active.slot(&prepared.slot.config.name));
            let failure = before.as_ref().and_then(|now| prepared.failure_since(now));
            let in_force = before.as_ref().filter(|now| prepared.is_in_force(now));
            let slot = if let Some(now) = in_force {
                now.moved_to(prepared.slot.config)
            } else {
                changes.push(prepared.change(before.as_ref()));
                prepared.slot
            };
            Slot { failure, ..slot }
        });
        self.tables.replace(slots.collect());
        CommittedTables {
            tables: self.tables,
            changes,
        }
    }

    /// Returns the removal of each table of `active` that the new configuration does not have.
    fn removed_from(&self, active: &Tables) -> Vec<Change> {
        let before = active.lock();
        let has = |name: &str| self.slots.iter().any(|one| one.slot.config.name == name);
        let removed = before.slots.iter().filter(|slot| !has(&slot.config.name));
        let removed = removed.map(|slot| Change {
            table: slot.config.name.clone(),
            file: slot.config.file.clone(),
            entries: None,
            dropped: slot.unsaved(),
        });
        removed.collect()
    }
}

impl Prepared {
    /// Returns whether the contents of `now`, the active table with the same name, are kept.
    fn is_in_force(&self, now: &Slot) -> bool {
        let is_later = now.origin.reading > self.slot.origin.reading;
        now.config.file == self.slot.config.file && (self.is_kept || is_later)
    }

    /// Returns an error of the file that was found after preparation read it.
    fn failure_since(&self, now: &Slot) -> Option<Failure> {
        let is_new = now.config.file == self.slot.config.file && now.failure != self.failure;
        now.failure.clone().filter(|_| is_new)
    }

    /// Returns the change from the previous table to this one.
    fn change(&self, before: Option<&Slot>) -> Change {
        Change {
            table: self.slot.config.name.clone(),
            file: self.slot.config.file.clone(),
            entries: Some(self.slot.table.len()),
            dropped: before.map_or(0, Slot::unsaved),
        }
    }
}

fn prepare(
    config: &config::Table,
    active: Option<&Arc<Tables>>,
    is_backend: IsBackend<'_>,
) -> Result<Prepared, TableError> {
    let in_force = || {
        let before = active?.slot(&config.name)?;
        (before.config.file == config.file).then_some(before)
    };
    let file = in_force().map(|before| before.file);
    let _held = file
        .as_ref()
        .map(|file| file.lock().unwrap_or_else(PoisonError::into_inner));
    // Look the table up again: it may have been saved while this thread waited for the lock.
    let before = in_force();
    let known = match &before {
        None => Known::No,
        Some(before) if config.values == TableValues::Backends => Known::Checked(&before.origin),
        Some(before) => Known::Trusted(&before.origin),
    };
    let found = load(config, known, is_backend).map_err(|refused| refused.error)?;
    match (found, before) {
        (Found::New(loaded), before) => {
            let mut slot = Slot::new(config.clone(), loaded);
            let mut failure = None;
            if let Some(before) = before {
                // Keep the same lock, since a thread that saves the previous table may use it.
                slot.file = before.file;
                failure = before.failure;
            }
            Ok(Prepared {
                slot,
                is_kept: false,
                failure,
            })
        }
        (Found::Same(_), Some(before)) => {
            check_all(&before, config.values, is_backend)?;
            Ok(Prepared {
                slot: before.moved_to(config.clone()),
                is_kept: true,
                failure: before.failure,
            })
        }
        // Unreachable: without an earlier table, the contents cannot be the same.
        (Found::Same(_), None) => Err(TableError::Read(std::io::ErrorKind::Other.into())),
    }
}

/// Checks every value of an active table against the new configuration.
fn check_all(
    slot: &Slot,
    values: TableValues,
    is_backend: IsBackend<'_>,
) -> Result<(), TableError> {
    if values == TableValues::Any {
        return Ok(());
    }
    let mut entries = slot.table.iter();
    let checked = entries.try_for_each(|(key, value)| check_value(values, key, value, is_backend));
    checked.map_err(TableError::Change)
}

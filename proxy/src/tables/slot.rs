//! One table in force, with all that is known of its file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::load::{Loaded, Origin, Stamp};
use super::table::Table;
use crate::config;

/// A table with all that is known of its file.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) config: config::Table,
    pub(super) table: Arc<Table>,
    pub(super) origin: Origin,
    /// Counts changes by hand.
    pub(super) changes: u64,
    /// Those of them that the file has.
    pub(super) saved: u64,
    pub(super) failure: Option<Failure>,
    /// Held while the file is read or written.
    pub(super) file: Arc<Mutex<()>>,
    /// Held while changes are folded.
    pub(super) folding: Arc<Mutex<()>>,
}

/// A file that is not in force, because it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) stamp: Option<Stamp>,
    /// Why it is not.
    pub reason: String,
}

/// Other contents of a table than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub table: String,
    /// Its file.
    pub file: PathBuf,
    /// Number of entries; None: the table is gone.
    pub entries: Option<usize>,
    /// Changes by hand that were not saved, and have ended.
    pub dropped: u64,
}

/// A table, for people.
#[derive(Debug, Clone)]
pub struct TableState {
    /// As configured.
    pub name: String,
    /// As configured.
    pub file: PathBuf,
    /// Number of entries.
    pub entries: usize,
    /// Bytes of memory.
    pub bytes: usize,
    /// When the file was loaded that is in force, or when it was saved.
    pub loaded: SystemTime,
    /// Changes by hand that are not saved.
    pub unsaved: u64,
    /// Why the file on disk is not in force.
    pub failure: Option<Failure>,
}

impl Slot {
    pub(super) fn new(config: config::Table, loaded: Loaded) -> Slot {
        Slot {
            config,
            table: loaded.table,
            origin: loaded.origin,
            changes: 0,
            saved: 0,
            failure: None,
            file: Arc::default(),
            folding: Arc::default(),
        }
    }

    /// The same contents for another configuration with the same file.
    pub(super) fn moved_to(&self, config: config::Table) -> Slot {
        Slot {
            config,
            ..self.clone()
        }
    }

    /// Whether it is the table of this name, from this file.
    pub(super) fn is(&self, name: &str, path: &Path) -> bool {
        self.config.name == name && self.config.file == path
    }

    /// Changes by hand that the file does not have.
    pub(super) fn unsaved(&self) -> u64 {
        self.changes - self.saved
    }

    /// For people.
    pub(super) fn state(&self) -> TableState {
        TableState {
            name: self.config.name.clone(),
            file: self.config.file.clone(),
            entries: self.table.len(),
            bytes: self.table.memory(),
            loaded: self.origin.loaded,
            unsaved: self.unsaved(),
            failure: self.failure.clone(),
        }
    }
}

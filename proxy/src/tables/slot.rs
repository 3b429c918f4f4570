//! One active table and the state of its file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::load::{Loaded, Origin, Stamp};
use super::table::Table;
use crate::config;

/// A table and the state of its file.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) config: config::Table,
    pub(super) table: Arc<Table>,
    pub(super) origin: Origin,
    /// Number of manual changes.
    pub(super) changes: u64,
    /// Number of manual changes that have been saved to the file or dropped.
    pub(super) saved: u64,
    pub(super) failure: Option<Failure>,
    /// Lock held while the file is read or written.
    pub(super) file: Arc<Mutex<()>>,
    /// Lock held while changes are folded into the entries.
    pub(super) folding: Arc<Mutex<()>>,
}

/// Error of a file that is not active because it is invalid or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) stamp: Option<Stamp>,
    /// Reason why the file is not active.
    pub reason: String,
}

/// A change to a table's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the table.
    pub table: String,
    /// Path of the table's file.
    pub file: PathBuf,
    /// Number of entries; None if the table is gone.
    pub entries: Option<usize>,
    /// Number of unsaved manual changes that were dropped.
    pub dropped: u64,
}

/// State of a table, for display.
#[derive(Debug, Clone)]
pub struct TableState {
    /// Name as configured.
    pub name: String,
    /// File as configured.
    pub file: PathBuf,
    /// Number of entries.
    pub entries: usize,
    /// Bytes of memory that the table occupies.
    pub bytes: usize,
    /// Time when the active file was loaded or saved.
    pub loaded: SystemTime,
    /// Number of unsaved manual changes.
    pub unsaved: u64,
    /// Error of the file on disk, if its contents are not active.
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

    /// Returns the same table for another configuration that has the same file.
    pub(super) fn moved_to(&self, config: config::Table) -> Slot {
        Slot {
            config,
            ..self.clone()
        }
    }

    /// Returns whether this table has the given name and file.
    pub(super) fn is(&self, name: &str, path: &Path) -> bool {
        self.config.name == name && self.config.file == path
    }

    /// Returns the number of manual changes that the file does not include.
    pub(super) fn unsaved(&self) -> u64 {
        self.changes - self.saved
    }

    /// Returns the table's state for display.
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

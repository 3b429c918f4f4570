//! All tables of a configuration, and their active contents.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::entries::Builder;
use super::error::Mistake;
use super::load::{Loaded, Origin};
use super::set::TableSet;
use super::slot::{Slot, TableState};
use super::table::Table;
use crate::config::{self, TableFormat, TableValues};

/// The tables of a configuration. Their names and kinds of values never change; their contents do.
///
/// Shared by workers, which call [`current`](Self::current), and by `control`, which changes the
/// active contents. A configuration with other table names or kinds of values gets a new `Tables`,
/// so that plugins check them again.
#[derive(Debug, Default)]
pub struct Tables {
    /// Names of the tables with their kinds of values, sorted by name.
    kinds: Box<[(Arc<str>, TableValues)]>,
    current: ArcSwap<TableSet>,
    /// State of the tables. Workers never lock it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Tables, in the order of the configuration.
    pub(super) slots: Vec<Slot>,
    /// Replaced tables that a request may still be reading. [`sweep`](Tables::sweep) drops them. A
    /// worker that dropped a large table would block while it is freed.
    pub(super) retired: Vec<Arc<Table>>,
}

impl Tables {
    pub(super) fn new(slots: Vec<Slot>) -> Tables {
        let configs: Vec<_> = slots.iter().map(|slot| slot.config.clone()).collect();
        let tables = Tables::without_entries(&configs);
        tables.replace(slots);
        tables
    }

    /// Creates tables with these entries and without files: for tests of plugins.
    ///
    /// # Errors
    /// The first entry that is not valid.
    pub fn from_entries<'a, E: IntoIterator<Item = (&'a str, &'a str)>>(
        tables: impl IntoIterator<Item = (&'a str, TableValues, E)>,
    ) -> Result<Tables, Mistake> {
        let slots = tables.into_iter().map(|(name, values, pairs)| {
            let mut builder = Builder::with_capacity(0, 0);
            for (key, value) in pairs {
                builder.push(key, value)?;
            }
            let config = config::Table {
                name: name.to_owned(),
                file: PathBuf::new(),
                format: TableFormat::Json,
                values,
                file_size: u64::MAX,
            };
            let repeated = |key| Mistake::Repeated { key, first: 0 };
            let table = Table::new(builder.build().map_err(repeated)?);
            let table = Arc::new(table);
            let origin = Origin::of_nothing();
            Ok(Slot::new(config, Loaded { table, origin }))
        });
        Ok(Tables::new(slots.collect::<Result<_, _>>()?))
    }

    /// Creates the tables of a configuration without their contents: for plugins that are only
    /// checked.
    pub fn without_entries(tables: &[config::Table]) -> Tables {
        let kinds = tables.iter();
        let kinds = kinds.map(|table| (Arc::from(table.name.as_str()), table.values));
        let mut kinds: Box<[(Arc<str>, TableValues)]> = kinds.collect();
        kinds.sort();
        Tables {
            kinds,
            ..Tables::default()
        }
    }

    /// Returns all tables with their current contents. Takes no lock.
    #[inline]
    pub fn current(&self) -> Arc<TableSet> {
        self.current.load_full()
    }

    /// Returns whether there is a table with this name.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).is_some()
    }

    /// Returns whether every value of this table must name a backend.
    pub fn values_are_backends(&self, name: &str) -> bool {
        self.values(name) == Some(TableValues::Backends)
    }

    fn values(&self, name: &str) -> Option<TableValues> {
        let at = self
            .kinds
            .binary_search_by(|(known, _)| (**known).cmp(name));
        Some(self.kinds[at.ok()?].1)
    }

    /// Returns whether `self` and `other` have the same names and the same kinds of values.
    pub(super) fn is_like(&self, other: &Tables) -> bool {
        self.kinds == other.kinds
    }

    /// Returns the states of the tables for display, in the order of the configuration.
    pub fn states(&self) -> Vec<TableState> {
        let state = self.lock();
        let states = state.slots.iter().map(Slot::state);
        states.collect()
    }

    /// Returns each table's name and file.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let state = self.lock();
        let slots = state.slots.iter();
        let files = slots.map(|slot| (slot.config.name.clone(), slot.config.file.clone()));
        files.collect()
    }

    /// Returns whether there are replaced tables that [`sweep`](Self::sweep) may be able to drop.
    pub fn has_replaced(&self) -> bool {
        !self.lock().retired.is_empty()
    }

    /// Drops replaced tables that no request reads any more.
    pub fn sweep(&self) {
        let mut state = self.lock();
        let (kept, free) = std::mem::take(&mut state.retired)
            .into_iter()
            .partition(|table| Arc::strong_count(table) > 1);
        state.retired = kept;
        drop(state);
        let free: Vec<Arc<Table>> = free;
        drop(free);
    }

    /// Returns the table with this name.
    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        let state = self.lock();
        let mut slots = state.slots.iter();
        slots.find(|slot| slot.config.name == name).cloned()
    }

    pub(super) fn slot_of(&self, name: &str, path: &Path) -> Option<Slot> {
        self.slot(name).filter(|slot| slot.is(name, path))
    }

    /// Activates `slots` in place of all current tables.
    pub(super) fn replace(&self, slots: Vec<Slot>) {
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.slots, slots);
        for old in old {
            let mut slots = state.slots.iter();
            if !slots.any(|slot| Arc::ptr_eq(&slot.table, &old.table)) {
                state.retired.push(old.table);
            }
        }
        self.publish(&state);
    }

    pub(super) fn publish(&self, state: &State) {
        let slots = state.slots.iter();
        let named = slots.map(|slot| {
            let name = Arc::from(slot.config.name.as_str());
            (name, Arc::clone(&slot.table))
        });
        let mut tables: Box<[(Arc<str>, Arc<Table>)]> = named.collect();
        tables.sort_by(|one, other| one.0.cmp(&other.0));
        self.current.store(Arc::new(TableSet { tables }));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is harmless, since a panic cannot leave a change half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

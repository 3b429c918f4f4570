//! Reading of entries, and manual changes to them.

use std::sync::{Arc, PoisonError};

use super::entries;
use super::error::{ChangeError, Mistake};
use super::load::{IsBackend, check_value};
use super::registry::Tables;
use super::slot::Slot;

impl Tables {
    /// Returns the value of `key` in a table.
    ///
    /// # Errors
    /// [`ChangeError::NoTable`], [`ChangeError::NoKey`].
    pub fn get(&self, table: &str, key: &str) -> Result<String, ChangeError> {
        let Some(slot) = self.slot(table) else {
            return Err(ChangeError::NoTable(table.to_owned()));
        };
        match slot.table.find(key.as_bytes()) {
            Some(value) => Ok(String::from_utf8_lossy(value).into_owned()),
            None => Err(no_key(table, key)),
        }
    }

    /// Makes room for a [`change`](Self::change).
    ///
    /// About once in a thousand changes, this takes as long as loading the table; otherwise it
    /// takes almost no time. Waits if another thread is making room.
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub fn fold(&self, name: &str) -> Result<(), ChangeError> {
        let due = || {
            let slot = self.slot(name);
            slot.filter(|slot| slot.table.is_due_for_folding())
        };
        let Some(Slot { folding, .. }) = due() else {
            return Ok(());
        };
        // The lock ensures that only one copy of a large table is made at a time.
        let _held = folding.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = due() else {
            return Ok(());
        };
        let folded = slot.table.folded();
        let folded = folded.map_err(|mistake| ChangeError::Refused {
            table: name.to_owned(),
            mistake,
        })?;
        let mut state = self.lock();
        let mut slots = state.slots.iter_mut();
        let now = slots.find(|now| Arc::ptr_eq(&now.table, &slot.table));
        if let Some(now) = now {
            now.table = Arc::new(folded);
            state.retired.push(slot.table);
            self.publish(&state);
        }
        Ok(())
    }

    /// Sets the value of `key`, or deletes the key if `value` is None. The change lasts until the
    /// file changes. Takes some microseconds if there is [room](Self::fold).
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn change(
        &self,
        table: &str,
        key: &str,
        value: Option<&str>,
        is_backend: IsBackend<'_>,
    ) -> Result<(), ChangeError> {
        let mut state = self.lock();
        let slot = state.slots.iter_mut();
        let Some(slot) = slot.into_iter().find(|slot| slot.config.name == table) else {
            return Err(ChangeError::NoTable(table.to_owned()));
        };
        let refused = |mistake| ChangeError::Refused {
            table: table.to_owned(),
            mistake,
        };
        let known = slot.table.find(key.as_bytes());
        match value {
            None if known.is_none() => return Err(no_key(table, key)),
            None => {}
            Some(value) => {
                entries::check(key, value).map_err(refused)?;
                check_value(slot.config.values, key, value, is_backend).map_err(refused)?;
                let size = slot.table.text_len() as u64;
                let replaced = known.map_or(0, |old| key.len() + old.len()) as u64;
                let grown = size - replaced + (key.len() + value.len()) as u64;
                let limit = slot.config.file_size;
                // A reload may have lowered the limit below the current size. Even then, changes
                // that do not enlarge the table are allowed.
                if grown > limit.max(size) {
                    return Err(refused(Mistake::Full { limit }));
                }
            }
        }
        let new = slot.table.with(key, value);
        let old = std::mem::replace(&mut slot.table, Arc::new(new));
        slot.changes += 1;
        self.publish(&state);
        // If no request reads the old table, it is dropped here. That is cheap, since the new table
        // shares its entries and only changes are freed.
        if Arc::strong_count(&old) > 1 {
            state.retired.push(old);
        }
        Ok(())
    }
}

fn no_key(table: &str, key: &str) -> ChangeError {
    ChangeError::NoKey {
        table: table.to_owned(),
        key: key.to_owned(),
    }
}

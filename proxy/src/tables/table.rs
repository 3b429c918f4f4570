//! A table: the entries of a file, and the manual changes since the file was loaded.
//!
//! A change copies the earlier changes, not the entries. When there are many changes, they are
//! folded into new entries.

use std::sync::Arc;

use hashbrown::HashTable;

use super::MAX_KEY;
use super::entries::{Builder, Entries};
use super::error::Mistake;

/// Maximum number of changes that are kept apart from the entries. Copying that many takes some 10
/// µs.
const MAX_CHANGES: usize = 1024;

/// An immutable table. Each change creates a new table, which shares the entries.
#[derive(Debug, Clone)]
pub(super) struct Table {
    entries: Arc<Entries>,
    changes: HashTable<Arc<Change>>,
    len: usize,
    text_len: usize,
}

#[derive(Debug)]
struct Change {
    hash: u64,
    key: Box<[u8]>,
    /// New value; None if the key was deleted.
    value: Option<Box<[u8]>>,
}

impl Table {
    pub(super) fn new(entries: Entries) -> Table {
        Table {
            len: entries.len(),
            text_len: entries.text_len(),
            entries: Arc::new(entries),
            changes: HashTable::new(),
        }
    }

    /// Returns the value of `key`.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<&[u8]> {
        // A key this long is in no table. Clients can send long keys, so skip even hashing them.
        if key.len() > MAX_KEY {
            return None;
        }
        let hash = self.entries.hash(key);
        if let Some(change) = self.change(hash, key) {
            return change.value.as_deref();
        }
        self.entries.find(hash, key)
    }

    fn change(&self, hash: u64, key: &[u8]) -> Option<&Change> {
        if self.changes.is_empty() {
            return None;
        }
        let change = self.changes.find(hash, |change| *change.key == *key);
        change.map(|change| &**change)
    }

    /// Returns a copy of the table with another value for `key`; None removes the key. The caller
    /// has checked both.
    #[must_use]
    pub(super) fn with(&self, key: &str, value: Option<&str>) -> Table {
        let mut table = self.clone();
        let key = key.as_bytes();
        if let Some(old) = self.find(key) {
            table.len -= 1;
            table.text_len -= key.len() + old.len();
        }
        if let Some(value) = value {
            table.len += 1;
            table.text_len += key.len() + value.len();
        }
        let hash = self.entries.hash(key);
        if let Ok(known) = table.changes.find_entry(hash, |change| *change.key == *key) {
            known.remove();
        }
        // The entries do not contain the key, so no change is needed to hide it.
        if value.is_none() && self.entries.find(hash, key).is_none() {
            return table;
        }
        let change = Arc::new(Change {
            hash,
            key: key.into(),
            value: value.map(|value| value.as_bytes().into()),
        });
        table
            .changes
            .insert_unique(hash, change, |change| change.hash);
        table
    }

    /// Returns whether the table should be [folded](Self::folded) before another change.
    pub(super) fn is_due_for_folding(&self) -> bool {
        self.changes.len() >= MAX_CHANGES
    }

    /// Returns the same table with its changes merged into its entries. Takes as long as loading
    /// the table.
    ///
    /// # Errors
    /// [`Mistake::TooLarge`].
    pub(super) fn folded(&self) -> Result<Table, Mistake> {
        let mut builder = Builder::with_capacity(self.text_len, self.len);
        for (key, value) in self.iter() {
            builder.push(key, value)?;
        }
        let repeated = |key| Mistake::Repeated { key, first: 0 };
        Ok(Table::new(builder.build().map_err(repeated)?))
    }

    /// Returns the keys and values in the order of the file, followed by the added ones in the
    /// order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let kept = self.entries.iter().filter_map(|(key, value)| {
            if self.changes.is_empty() {
                return Some((key, value));
            }
            match self.change(self.entries.hash(key), key) {
                Some(change) => Some((key, change.value.as_deref()?)),
                None => Some((key, value)),
            }
        });
        let changes = self.changes.iter();
        let is_new = |change: &&Arc<Change>| self.entries.find(change.hash, &change.key).is_none();
        let added = changes.filter(is_new);
        let added = added.filter_map(|change| Some((&*change.key, change.value.as_deref()?)));
        let mut added: Vec<_> = added.collect();
        added.sort_unstable();
        kept.chain(added)
            .map(|(key, value)| (text(key), text(value)))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the total number of bytes of all keys and values.
    pub(super) fn text_len(&self) -> usize {
        self.text_len
    }

    /// Returns the bytes of memory that the table occupies.
    pub(super) fn memory(&self) -> usize {
        let changes = self.changes.iter();
        let changed: usize = changes
            .map(|change| {
                let value = change.value.as_ref().map_or(0, |value| value.len());
                size_of::<Change>() + change.key.len() + value
            })
            .sum();
        self.entries.memory() + self.changes.allocation_size() + changed
    }
}

/// Converts bytes of a table to text; a table contains only valid UTF-8.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn table(pairs: &BTreeMap<String, String>) -> Table {
        let mut builder = Builder::with_capacity(0, 0);
        for (key, value) in pairs {
            builder.push(key, value).unwrap();
        }
        Table::new(builder.build().unwrap())
    }

    fn assert_is(table: &Table, expected: &BTreeMap<String, String>) {
        let sorted: BTreeMap<_, _> = table
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(sorted, *expected);
        assert_eq!(table.iter().count(), expected.len());
        assert_eq!(table.len(), expected.len());
        let bytes = expected.iter().map(|(key, value)| key.len() + value.len());
        assert_eq!(table.text_len(), bytes.sum::<usize>());
        for (key, value) in expected {
            assert_eq!(table.find(key.as_bytes()), Some(value.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn changes_behave_as_those_of_a_map(
            pairs in vec(("[ab]{1,2}", "[xy]{0,2}"), 0..6),
            changes in vec(("[abc]{1,2}", option::of("[xy]{0,2}")), 0..20),
        ) {
            let mut expected: BTreeMap<_, _> = pairs.into_iter().collect();
            let first = table(&expected);
            let before = expected.clone();
            let mut table = first.clone();
            for (key, value) in changes {
                table = table.with(&key, value.as_deref());
                match value {
                    Some(value) => expected.insert(key, value),
                    None => expected.remove(&key),
                };
                assert_is(&table, &expected);
            }
            assert_is(&table.folded().unwrap(), &expected);
            assert_is(&first, &before);
        }
    }

    #[test]
    fn long_keys_are_not_found() {
        let table = table(&BTreeMap::new());
        assert_eq!(table.find(&vec![b'k'; 64 * 1024]), None);
    }

    #[test]
    fn the_order_of_the_file_stays() {
        let mut builder = Builder::with_capacity(0, 0);
        for key in ["c", "a", "b"] {
            builder.push(key, "1").unwrap();
        }
        let table = Table::new(builder.build().unwrap());
        let table = table.with("z", Some("3")).with("d", Some("3"));
        let table = table.with("a", Some("2")).with("b", None);
        let entries = [("c", "1"), ("a", "2"), ("d", "3"), ("z", "3")];
        assert_eq!(table.iter().collect::<Vec<_>>(), entries);
        let folded = table.folded().unwrap();
        assert_eq!(folded.iter().collect::<Vec<_>>(), entries);
    }

    #[test]
    fn changes_are_folded_in_time() {
        let mut table = table(&BTreeMap::new());
        for number in 0..MAX_CHANGES {
            assert!(!table.is_due_for_folding());
            table = table.with(&number.to_string(), Some(""));
        }
        assert!(table.is_due_for_folding());
        assert!(!table.folded().unwrap().is_due_for_folding());
    }
}

//! All tables at one point in time, as workers read them.

use std::sync::Arc;

use super::table::Table;

/// An immutable snapshot of all tables at one point in time.
#[derive(Debug, Default)]
pub struct TableSet {
    /// Tables, sorted by name.
    pub(super) tables: Box<[(Arc<str>, Arc<Table>)]>,
}

impl TableSet {
    /// Returns the value of `key` in the table with this name; None if the table or the key does
    /// not exist.
    #[inline]
    pub fn find(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        let by_name = |(name, _): &(Arc<str>, Arc<Table>)| (**name).cmp(table);
        let at = self.tables.binary_search_by(by_name).ok()?;
        self.tables[at].1.find(key)
    }
}

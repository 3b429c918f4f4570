//! All tables at one point in time, as workers read them.

use std::sync::Arc;

use super::table::Table;

/// All tables at one point in time. Immutable.
#[derive(Debug, Default)]
pub struct TableSet {
    /// Tables, sorted by name.
    pub(super) tables: Box<[(Arc<str>, Arc<Table>)]>,
}

impl TableSet {
    /// Returns the value of `key` in the table of this name; None if either does not exist.
    #[inline]
    pub fn find(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        let by_name = |(name, _): &(Arc<str>, Arc<Table>)| (**name).cmp(table);
        let at = self.tables.binary_search_by(by_name).ok()?;
        self.tables[at].1.find(key)
    }
}

//! All tables at one moment, as workers read them.

use std::sync::Arc;

use super::table::Table;

/// All tables at one moment. Immutable.
#[derive(Debug, Default)]
pub struct TableSet {
    /// In the order of their names.
    pub(super) tables: Box<[(Arc<str>, Arc<Table>)]>,
}

impl TableSet {
    /// The value of `key` in the table of this name; None if either is not there.
    #[inline]
    pub fn find(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        let by_name = |(name, _): &(Arc<str>, Arc<Table>)| (**name).cmp(table);
        let at = self.tables.binary_search_by(by_name).ok()?;
        self.tables[at].1.find(key)
    }
}

//! The operator's tables: keys and values from files, in which plugins look up values.
//!
//! Owns the active tables, the conversion of files to tables, and the manual changes. Workers read
//! immutable snapshots and never wait. Every function that reads or writes a file blocks;
//! `control`, `check` and `route` call them. Decides nothing about requests.

mod changes;
mod csv;
mod entries;
mod error;
mod files;
mod json;
mod load;
mod prepared;
mod registry;
mod save;
mod set;
mod slot;
mod table;
#[cfg(test)]
mod tests;

pub use self::error::{ChangeError, Mistake, SaveError, TableError};
pub use self::files::{Installed, Refreshed, Saved};
pub use self::load::Loaded;
pub use self::prepared::{CommitCheck, CommittedTables, PreparedTables};
pub use self::registry::Tables;
pub use self::set::TableSet;
pub use self::slot::{Change, Failure, TableState};

/// Maximum length of a key, in bytes. Host names, tokens and distinguished names are normally
/// shorter.
pub const MAX_KEY: usize = 1024;

/// Maximum length of a value, in bytes. Most servers do not accept a longer field.
pub const MAX_VALUE: usize = 8 * 1024;

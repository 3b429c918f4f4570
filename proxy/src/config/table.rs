//! `[table.NAME]`: the operator's tables.

use std::path::PathBuf;

/// `[table.NAME]`: keys and values from a file, for plugins to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Letters, digits and `-_.:`.
    pub name: String,
    /// Read again whenever it changes.
    pub file: PathBuf,
    /// By the file's name.
    pub format: TableFormat,
    /// What its values may be. Default [`TableValues::Any`].
    pub values: TableValues,
    /// Longest file, in bytes. Default [`DEFAULT_TABLE_SIZE`].
    pub file_size: u64,
}

/// Default of [`Table::file_size`]: five million entries of 50 bytes.
pub const DEFAULT_TABLE_SIZE: u64 = 256 << 20;

/// The format of a table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Two columns (RFC 4180).
    Csv,
    /// One object of strings (RFC 8259).
    Json,
}

/// What a table's values may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableValues {
    /// Any text.
    #[default]
    Any,
    /// Names of backends.
    Backends,
}

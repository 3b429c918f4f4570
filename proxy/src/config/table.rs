//! `[table.NAME]`: tables that the operator provides.

use std::path::PathBuf;

/// `[table.NAME]`: keys and values from a file, for plugins to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the table: letters, digits and `-_.:`.
    pub name: String,
    /// File of the table, which is reloaded whenever it changes.
    pub file: PathBuf,
    /// Format of the file, determined by the file's name.
    pub format: TableFormat,
    /// Permitted values. Default [`TableValues::Any`].
    pub values: TableValues,
    /// Maximum size of the file, in bytes. Default [`DEFAULT_TABLE_SIZE`].
    pub file_size: u64,
}

/// Default of [`Table::file_size`]: five million entries of 50 bytes.
pub const DEFAULT_TABLE_SIZE: u64 = 256 << 20;

/// Format of a table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Two columns (RFC 4180).
    Csv,
    /// One object of strings (RFC 8259).
    Json,
}

/// Permitted values of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableValues {
    /// Any text.
    #[default]
    Any,
    /// Names of backends.
    Backends,
}

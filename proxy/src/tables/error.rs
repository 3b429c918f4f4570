//! Errors in reading, changing and saving tables.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{MAX_KEY, MAX_VALUE};

/// Maximum number of characters of a key or a value in a message.
const MAX_SHOWN: usize = 80;

/// Reasons why a file is not accepted as a table. The messages are worded to follow the file's
/// name.
#[derive(Debug, Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The file is longer than the configuration allows.
    #[error("is longer than {limit} bytes, which `file_size` allows")]
    TooLong {
        /// The limit, `file_size`.
        limit: u64,
    },
    /// A line of the file is invalid.
    #[error("line {line}: {mistake}")]
    Line {
        /// Line number, counted from 1.
        line: usize,
        /// The mistake on that line.
        mistake: Mistake,
    },
    /// The file is valid, but a manual change names a backend that the new configuration does not
    /// have.
    #[error("an unsaved change is invalid: {0}")]
    Change(Mistake),
}

/// Mistakes in an entry, or in the contents of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    Encoding,
    /// A line does not have two columns.
    #[error("there {}, but two are needed: a key and a value", columns(*.0))]
    Columns(usize),
    /// A quote is inside a field that does not begin with one (RFC 4180, section 2.5).
    #[error(
        "a quote is inside an unquoted field: enclose the field in quotes and double the quote"
    )]
    Quote,
    /// Text follows the quote that ends a field (RFC 4180, section 2.7).
    #[error("text follows the quote that ends a field: double a quote that belongs to the field")]
    AfterQuote,
    /// A quoted field has no closing quote.
    #[error("the quoted field that begins here has no closing quote")]
    OpenQuote,
    /// A carriage return is not part of a line ending.
    #[error("no line feed follows a carriage return: enclose the field in quotes if it has one")]
    CarriageReturn,
    /// The text is not JSON, or not in the form of a table.
    #[error("{0}")]
    Json(String),
    /// The key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// The key has more than [`MAX_KEY`] bytes.
    #[error("the key has {0} bytes, more than {MAX_KEY}")]
    LongKey(usize),
    /// The value has more than [`MAX_VALUE`] bytes.
    #[error("the value has {0} bytes, more than {MAX_VALUE}")]
    LongValue(usize),
    /// The key occurs earlier in the file.
    #[error("the key {} is already on {}", Shown(key), earlier(*first))]
    Repeated {
        /// The key.
        key: String,
        /// Line where the key occurs first, counted from 1; 0 if it is not known.
        first: usize,
    },
    /// The value does not name a backend, although all values of the table must.
    #[error(
        "the value {} of the key {} is not a backend",
        Shown(value),
        Shown(key)
    )]
    UnknownBackend {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// The table would be larger than the configuration allows.
    #[error(
        "the table is full: its keys and values would have more than {limit} bytes, which \
         `file_size` allows"
    )]
    Full {
        /// The limit, `file_size`.
        limit: u64,
    },
    /// The table would be larger than the proxy can store, whatever the configuration allows.
    #[error("the table would have more than 4 GiB")]
    TooLarge,
}

/// Reasons why a manual change to a table is rejected.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no table with this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// The table does not have the key that should be read or deleted.
    #[error("table `{table}` has no key {}", Shown(key))]
    NoKey {
        /// Name of the table.
        table: String,
        /// The key.
        key: String,
    },
    /// The entry is not valid for the table.
    #[error("table `{table}` refuses the entry: {mistake}")]
    Refused {
        /// Name of the table.
        table: String,
        /// Reason why the entry is rejected.
        mistake: Mistake,
    },
}

/// Reasons why a table is not saved. In each case, the file stays unchanged.
#[derive(Debug, Error)]
pub enum SaveError {
    /// There is no table with this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// Another program has changed the file since it was loaded.
    #[error(
        "{} has changed since it was loaded and is not overwritten: correct or restore it, then \
         repeat the changes",
        .0.display()
    )]
    Changed(PathBuf),
    /// The file would be longer than the proxy accepts.
    #[error(
        "{} would have {length} bytes, more than {limit}, which `file_size` allows: raise it and \
         reload, or delete entries",
        path.display()
    )]
    TooLong {
        /// Path of the file.
        path: PathBuf,
        /// Length that the file would have, in bytes.
        length: u64,
        /// The limit, `file_size`.
        limit: u64,
    },
    /// The new file would have another owner than the old one.
    #[error("cannot preserve the owner of {}", path.display())]
    Owner {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn columns(count: usize) -> String {
    match count {
        1 => "is one column".to_owned(),
        count => format!("are {count} columns"),
    }
}

fn earlier(line: usize) -> String {
    match line {
        0 => "an earlier line".to_owned(),
        line => format!("line {line}"),
    }
}

/// A string in backticks, with control characters escaped, and cut if it is too long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = match self.0.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => (&self.0[..end], "..."),
            None => (self.0, ""),
        };
        write!(f, "`{}{rest}`", shown.escape_debug())
    }
}

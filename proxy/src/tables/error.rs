//! Errors of reading, changing and saving tables.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{MAX_KEY, MAX_VALUE};

/// Maximum number of characters of a key or a value in a message.
const MAX_SHOWN: usize = 80;

/// Reasons why a file is not accepted as a table. The messages follow the file's name.
#[derive(Debug, Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The file is longer than the configuration allows.
    #[error("is longer than {limit} bytes, which `file_size` allows")]
    TooLong {
        /// `file_size`.
        limit: u64,
    },
    /// A line of the file is invalid.
    #[error("line {line}: {mistake}")]
    Line {
        /// Line number, counted from 1.
        line: usize,
        /// The mistake at that line.
        mistake: Mistake,
    },
    /// The file is valid, but a manual change names a backend that the new configuration does not
    /// have.
    #[error("an unsaved change is invalid: {0}")]
    Change(Mistake),
}

/// Mistakes in an entry, or in the text of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    Encoding,
    /// A line does not have two columns.
    #[error("there {}, but two are needed: a key and a value", columns(*.0))]
    Columns(usize),
    /// A quote in a field that begins without one (RFC 4180, section 2.5).
    #[error(
        "a quote is inside an unquoted field: enclose the field in quotes and double the quote"
    )]
    Quote,
    /// Text after the quote that ends a field (RFC 4180, section 2.7).
    #[error("text follows the quote that ends a field: double a quote that belongs to the field")]
    AfterQuote,
    /// A quoted field without a closing quote.
    #[error("the quoted field that begins here has no closing quote")]
    OpenQuote,
    /// A carriage return that is not part of a line ending.
    #[error("no line feed follows a carriage return: enclose the field in quotes if it has one")]
    CarriageReturn,
    /// The text is not JSON of the form that a table has.
    #[error("{0}")]
    Json(String),
    /// An empty key.
    #[error("the key is empty")]
    EmptyKey,
    /// A key of more than [`MAX_KEY`] bytes.
    #[error("the key has {0} bytes, more than {MAX_KEY}")]
    LongKey(usize),
    /// A value of more than [`MAX_VALUE`] bytes.
    #[error("the value has {0} bytes, more than {MAX_VALUE}")]
    LongValue(usize),
    /// A key that occurs earlier in the file.
    #[error("the key {} is already on {}", Shown(key), earlier(*first))]
    Repeated {
        /// The key.
        key: String,
        /// Its first line, counted from 1; 0 if it is not known.
        first: usize,
    },
    /// The value does not name a backend, though all values must.
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
        /// `file_size`.
        limit: u64,
    },
    /// The table would be larger than can be stored, whatever the configuration allows.
    #[error("the table would have more than 4 GiB")]
    TooLarge,
}

/// Reasons why a manual change to a table is rejected.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no table of this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// There is no such key to read or delete.
    #[error("table `{table}` has no key {}", Shown(key))]
    NoKey {
        /// The table's name.
        table: String,
        /// The key.
        key: String,
    },
    /// The entry is not valid for the table.
    #[error("table `{table}` refuses the entry: {mistake}")]
    Refused {
        /// The table's name.
        table: String,
        /// The reason.
        mistake: Mistake,
    },
}

/// Reasons why a table is not saved; the file stays as before.
#[derive(Debug, Error)]
pub enum SaveError {
    /// There is no table of this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// Another program has changed the file.
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
        /// The file.
        path: PathBuf,
        /// Length in bytes.
        length: u64,
        /// `file_size`.
        limit: u64,
    },
    /// The file would have another owner.
    #[error("cannot preserve the owner of {}", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
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

/// A text in backticks, with control characters escaped, and cut.
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

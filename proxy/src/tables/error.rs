//! Why a file is no table, and why a table is not changed or saved.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{MAX_KEY, MAX_VALUE};

/// Most characters of a key or a value in a text for people.
const MAX_SHOWN: usize = 80;

/// Why a file is not taken up as a table. The texts follow the file's name.
#[derive(Debug, Error)]
pub enum TableError {
    /// The system's reason.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// It is longer than the configuration allows.
    #[error("is longer than {limit} bytes, which `file_size` allows")]
    TooLong {
        /// `file_size`.
        limit: u64,
    },
    /// A line of it is wrong.
    #[error("line {line}: {mistake}")]
    Line {
        /// Counts from 1.
        line: usize,
        /// What is wrong there.
        mistake: Mistake,
    },
    /// It is right, but a change by hand names a backend that the new configuration does not have.
    #[error("a change that is not saved is wrong: {0}")]
    Change(Mistake),
}

/// What is wrong with an entry, or with the text of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    /// Text is UTF-8.
    #[error("the text is not UTF-8")]
    Encoding,
    /// Not two columns.
    #[error("there {}, but two are needed: a key and a value", columns(*.0))]
    Columns(usize),
    /// A quote in a field that begins without one (RFC 4180, section 2.5).
    #[error("a quote stands inside of a field: enclose the field in quotes, and double that one")]
    Quote,
    /// Text behind the quote that ends a field (RFC 4180, section 2.7).
    #[error("text follows the quote that ends a field: double a quote that belongs to the field")]
    AfterQuote,
    /// No quote ends the field.
    #[error("a field begins with a quote here, and no quote ends it")]
    OpenQuote,
    /// A carriage return that is no part of a line's end.
    #[error("no line feed follows a carriage return: enclose the field in quotes if it has one")]
    CarriageReturn,
    /// Not the JSON that a table is.
    #[error("{0}")]
    Json(String),
    /// A key of no bytes.
    #[error("the key is empty")]
    EmptyKey,
    /// A key of more than [`MAX_KEY`] bytes.
    #[error("the key has {0} bytes, more than {MAX_KEY}")]
    LongKey(usize),
    /// A value of more than [`MAX_VALUE`] bytes.
    #[error("the value has {0} bytes, more than {MAX_VALUE}")]
    LongValue(usize),
    /// A key that the file has before.
    #[error("the key {} stands on {} already", Shown(key), earlier(*first))]
    Repeated {
        /// The key.
        key: String,
        /// Its first line, counted from 1; 0 if it is not known.
        first: usize,
    },
    /// The value names no backend, where all values must.
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
    /// More than the configuration allows.
    #[error(
        "the table is full: its keys and values would have more than {limit} bytes, which \
         `file_size` allows"
    )]
    Full {
        /// `file_size`.
        limit: u64,
    },
    /// More than can be kept, whatever the configuration allows.
    #[error("the table would have more than 4 GiB")]
    TooLarge,
}

/// Why a table is not changed by hand.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// No table of this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// No such key to be read or deleted.
    #[error("table `{table}` has no key {}", Shown(key))]
    NoKey {
        /// The table's name.
        table: String,
        /// The key.
        key: String,
    },
    /// The entry cannot be in the table.
    #[error("table `{table}` does not take it: {mistake}")]
    Refused {
        /// The table's name.
        table: String,
        /// The reason.
        mistake: Mistake,
    },
}

/// Why a table is not saved; the file is as before.
#[derive(Debug, Error)]
pub enum SaveError {
    /// No table of this name.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// Somebody else has changed the file.
    #[error(
        "{} has changed since it was loaded, and is not overwritten: correct it or put it back, \
         and repeat the changes",
        .0.display()
    )]
    Changed(PathBuf),
    /// The proxy would refuse the file.
    #[error(
        "{} would have {length} bytes, more than {limit}, which `file_size` allows: raise it and \
         reload, or delete entries",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// In bytes.
        length: u64,
        /// `file_size`.
        limit: u64,
    },
    /// The file would have another owner.
    #[error("the owner of {} cannot be kept", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
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

/// Text in backticks, without control characters, and cut.
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

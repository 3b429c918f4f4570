//! Why a plugin refuses its configuration, fails to route, or cannot edit a request.
//!
//! Owns the text that the proxy shows. Used by every plugin and by `config`.

use std::error::Error as StdError;
use std::fmt::{self, Display, Write as _};

/// Why a plugin refuses its configuration or cannot route a request.
///
/// Any error converts to one by `?`; its causes become part of the text. Like other
/// types that do this, it is no `std::error::Error` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    key: Option<String>,
    message: String,
}

impl Error {
    /// An error that says `message`.
    pub fn new(message: impl Display) -> Self {
        Self {
            key: None,
            message: message.to_string(),
        }
    }

    /// An error about the key at `path` in the plugin's configuration, written as in
    /// `rules[0].suffix`: the proxy points at that key in its file.
    pub fn at(path: impl Display, message: impl Display) -> Self {
        Self {
            key: Some(path.to_string()),
            message: message.to_string(),
        }
    }
}

impl Display for Error {
    /// `rules[0].suffix: message`, or the message alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl<E: StdError> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a text cannot fail.
            let _ = write!(message, ": {cause}");
            source = cause.source();
        }
        Self { key: None, message }
    }
}

/// Why the proxy refuses an edit of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    /// Not a field name, value or request target that HTTP allows.
    InvalidSyntax,
    /// A field that frames or upgrades the message, which only the proxy may set:
    /// `connection`, `content-length`, `transfer-encoding`, `upgrade` and the like.
    Forbidden,
}

impl Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidSyntax => "not a field or target that HTTP allows",
            Self::Forbidden => "a field that only the proxy may set",
        })
    }
}

impl StdError for EditError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_a_key_starts_with_it() {
        let error = Error::at(format_args!("rules[{}].suffix", 0), "is empty");
        assert_eq!(error.to_string(), "rules[0].suffix: is empty");
    }

    #[test]
    fn a_foreign_error_keeps_its_text() {
        fn parse() -> Result<u8, Error> {
            Ok("x".parse::<u8>()?)
        }
        assert_eq!(
            parse().unwrap_err().to_string(),
            "invalid digit found in string"
        );
    }
}

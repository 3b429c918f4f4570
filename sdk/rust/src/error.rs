//! The error type of plugins.
//!
//! Owns the format of the message that the proxy shows for an error. Used by every plugin and by
//! `config`.

use std::error::Error as StdError;
use std::fmt::{self, Display, Write as _};

/// The reason why a plugin refuses its configuration or cannot route a request.
///
/// Any standard error converts to this type with `?`; its causes become part of the message. Like
/// other types with such a conversion, this type does not implement `std::error::Error` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    key: Option<String>,
    message: String,
}

impl Error {
    /// Creates an error with the text `message`.
    pub fn new(message: impl Display) -> Self {
        Self {
            key: None,
            message: message.to_string(),
        }
    }

    /// Creates an error about the key at `path` in the plugin's configuration, written as in
    /// `rules[0].suffix`. The proxy points at that key in its configuration file.
    pub fn at(path: impl Display, message: impl Display) -> Self {
        Self {
            key: Some(path.to_string()),
            message: message.to_string(),
        }
    }

    /// Returns the same error about the key at `path`, as in
    /// `questions::suffix("host").entries(hosts).map_err(|error| error.at_key("hosts"))`.
    ///
    /// Replaces the key that the error already has.
    #[must_use]
    pub fn at_key(self, path: impl Display) -> Self {
        Self {
            key: Some(path.to_string()),
            ..self
        }
    }

    /// Returns the index, from 0, of the entry that made the definition of a matcher fail; none if
    /// no single entry is at fault.
    ///
    /// Use it for the key of a list whose elements became the entries: `rules[2].prefix`.
    pub fn entry(&self) -> Option<usize> {
        // The proxy's message is `entry 3, "a", is not ...`, counted from 1.
        let rest = self.message.strip_prefix("entry ")?;
        let digits = rest.split(|character: char| !character.is_ascii_digit());
        let place: usize = digits.into_iter().next()?.parse().ok()?;
        place.checked_sub(1)
    }
}

impl Display for Error {
    /// Formats as `rules[0].suffix: message`, or as the message alone.
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
            // Writing to a `String` cannot fail.
            let _ = write!(message, ": {cause}");
            source = cause.source();
        }
        Self { key: None, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_a_key_starts_with_it() {
        let error = Error::at(format_args!("rules[{}].suffix", 0), "is empty");
        assert_eq!(error.to_string(), "rules[0].suffix: is empty");
        let error = Error::new("is empty").at_key("rules").at_key("rules[1]");
        assert_eq!(error.to_string(), "rules[1]: is empty");
    }

    #[test]
    fn an_error_of_a_definition_names_its_entry() {
        for (message, expected) in [
            ("entry 3, \"a\", is not a network", Some(2)),
            ("entry 12 repeats entry 7, \"a\"", Some(11)),
            ("entry 0 repeats", None),
            ("entry, that is none", None),
            ("there is no table \"a\"", None),
        ] {
            assert_eq!(Error::new(message).at_key("rules").entry(), expected);
        }
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

//! Formats strings from plugins for messages to the operator.

use std::fmt;

/// Maximum number of bytes that are shown of a string.
const MAX_SHOWN: usize = 128;

/// A string in quotes, escaped, and cut if it is too long for a message.
pub(super) struct Quoted<'t>(pub(super) &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quoted(text) = self;
        let end = text.floor_char_boundary(MAX_SHOWN);
        let shown = text.get(..end).unwrap_or(text);
        write!(f, "{shown:?}")?;
        if end < text.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(Quoted("a \"b\"\n").to_string(), r#""a \"b\"\n""#);
        let long = "\u{e4}".repeat(100);
        let shown = format!("\"{}\"...", "\u{e4}".repeat(64));
        assert_eq!(Quoted(&long).to_string(), shown);
    }
}

//! A response that a plugin returns, formatted as text or for JSON. The text contains no control
//! characters except newlines.

use std::fmt;

use serde::Serialize;

use crate::plugin::Response;

/// Maximum number of characters of a body that the text output shows.
const MAX_SHOWN: usize = 2_000;

/// A response in displayable form.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    status: u16,
    /// Names and values. Bytes outside printable ASCII are escaped.
    headers: Vec<(String, String)>,
    /// The body. Bytes that are not valid UTF-8 are replaced.
    body: String,
}

impl Shown {
    pub(super) fn new(response: &Response) -> Shown {
        let text = |octets: &[u8]| octets.escape_ascii().to_string();
        let fields = response.fields.iter();
        Shown {
            status: response.status,
            headers: fields
                .map(|field| (text(&field.name), text(&field.value)))
                .collect(),
            body: String::from_utf8_lossy(&response.body).into_owned(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {value}")?;
        }
        if self.body.is_empty() {
            return Ok(());
        }
        f.write_str("\n\n")?;
        for char in self.body.trim_end_matches('\n').chars().take(MAX_SHOWN) {
            match char {
                '\n' => f.write_str("\n")?,
                char if char.is_control() => write!(f, "{}", char.escape_default())?,
                char => write!(f, "{char}")?,
            }
        }
        match self.body.chars().count().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n... {more} more characters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let shown = |body: &str| {
            let headers = vec![("x-a".to_owned(), "b".to_owned())];
            let body = body.to_owned();
            Shown {
                status: 200,
                headers,
                body,
            }
            .to_string()
        };
        assert_eq!(shown(""), "200\nx-a: b");
        assert_eq!(shown("a\nb\n"), "200\nx-a: b\n\na\nb");
        assert_eq!(shown("\u{1b}[2J\u{9b}"), "200\nx-a: b\n\n\\u{1b}[2J\\u{9b}");
        let long = shown(&"a".repeat(MAX_SHOWN + 5));
        assert!(long.ends_with("a\n... 5 more characters"), "{long}");
    }
}

//! Reduces text to printable characters, for terminals.
//!
//! Control characters, bidirectional controls and combining marks are escaped. JSON output
//! uses JSON escapes; other text uses Rust escapes. Quotes and backslashes are left as they are.

use std::fmt::Write as _;

use serde_json::Value;

/// Escapes every string in `value`, including its newlines. For output whose line breaks come only
/// from this program.
pub(super) fn values(value: &mut Value) {
    match value {
        Value::String(text) => *text = one_line(text),
        Value::Array(all) => all.iter_mut().for_each(values),
        Value::Object(fields) => {
            let escaped = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                values(&mut value);
                (one_line(&name), value)
            });
            *fields = escaped.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Escapes text that must stay on one line.
fn one_line(text: &str) -> String {
    escape(text, |_| false, push_escaped)
}

/// Escapes text of several lines.
pub(super) fn lines(text: &str) -> String {
    escape(text, |char| matches!(char, '\n' | '\t'), push_escaped)
}

/// Escapes JSON. Its control characters below U+0020 are already escaped.
pub(super) fn json(text: &str) -> String {
    let in_json = |shown: &mut String, char: char| {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    };
    escape(text, |_| false, in_json)
}

fn push_escaped(shown: &mut String, char: char) {
    shown.extend(char.escape_debug());
}

fn escape(text: &str, is_kept: fn(char) -> bool, push: fn(&mut String, char)) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_shown(char) || is_kept(char) {
            shown.push(char);
        } else {
            push(&mut shown, char);
        }
    }
    shown
}

fn is_shown(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_characters_reach_a_terminal() {
        for (text, in_a_line, in_json) in [
            (r#"it's "a\b" ä"#, r#"it's "a\b" ä"#, r#"it's "a\b" ä"#),
            ("\u{1b}[2J", r"\u{1b}[2J", r"\u001b[2J"),
            ("\u{9b}31m", r"\u{9b}31m", r"\u009b31m"),
            ("\u{202e}gnp.exe", r"\u{202e}gnp.exe", r"\u202egnp.exe"),
            ("\u{7f}", r"\u{7f}", r"\u007f"),
            ("\u{e0001}", r"\u{e0001}", r"\udb40\udc01"),
        ] {
            assert_eq!(one_line(text), in_a_line);
            assert_eq!(lines(text), in_a_line);
            assert_eq!(json(text), in_json);
        }
        assert_eq!(one_line("a\nb\tc"), r"a\nb\tc");
        assert_eq!(lines("a\nb\tc\r"), "a\nb\tc\\r");
    }

    #[test]
    fn every_text_of_a_value_is_escaped() {
        let mut value = serde_json::json!({"a\u{9b}": ["\u{9b}", {"b": "\n"}], "c": 1});
        values(&mut value);
        let escaped = serde_json::json!({"a\\u{9b}": ["\\u{9b}", {"b": "\\n"}], "c": 1});
        assert_eq!(value, escaped);
    }
}

//! Escaping of untrusted text and bytes: one event stays on one line, and no value can pose as
//! another field.
//!
//! Runs of characters that need no escape are found through a table and copied whole.

use std::io::Write as _;

/// Needs no quotes in a text line: printable ASCII except for the space, `"`, `\`, `=`.
const BARE: u8 = 1;

/// Needs no escape within quotes, in text and in JSON: printable ASCII except for `"` and `\`.
const PLAIN: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        if byte != b'"' && byte != b'\\' {
            classes[byte as usize] = PLAIN;
            if byte != b' ' && byte != b'=' {
                classes[byte as usize] |= BARE;
            }
        }
        byte += 1;
    }
    classes
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Returns whether a value needs no quotes in a text line.
pub(super) fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && run(value, BARE) == value.len()
}

/// Appends a value of a text line: bare if possible, otherwise in quotes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    if is_bare(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text_quoted(out, text);
    }
}

/// Appends a value of a text line that can contain any bytes.
pub(super) fn text_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_bare(bytes) {
        out.extend_from_slice(bytes);
    } else {
        text_bytes_quoted(out, bytes);
    }
}

/// Appends text without quotes, for places where it cannot be misread. Only invisible characters
/// are escaped.
pub(super) fn text_plain(out: &mut Vec<u8>, text: &str) {
    shown_runs(out, text, |out, char| match char {
        '"' => out.push(b'"'),
        '\\' => out.push(b'\\'),
        _ => escape_char(out, char),
    });
}

/// Appends text in quotes: `"` and `\` after a backslash, invisible characters as `\n` or
/// `\u{202e}`.
pub(super) fn text_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    shown_runs(out, text, |out, char| match char {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        _ => escape_char(out, char),
    });
    out.push(b'"');
}

/// Appends bytes in quotes: `"` and `\` after a backslash, bytes that are not printable ASCII as
/// `\xNN`.
pub(super) fn text_bytes_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    plain_runs(out, bytes, |out, byte| match byte {
        b'"' => out.extend_from_slice(br#"\""#),
        b'\\' => out.extend_from_slice(br"\\"),
        _ => out.extend_from_slice(&[b'\\', b'x', high(byte), low(byte)]),
    });
    out.push(b'"');
}

/// Appends a JSON string (RFC 8259, section 7). Invisible characters are escaped even where JSON
/// does not require it.
pub(super) fn json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    shown_runs(out, text, |out, char| match char {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let [first, second] = unit.to_be_bytes();
                out.extend_from_slice(br"\u");
                out.extend_from_slice(&[high(first), low(first), high(second), low(second)]);
            }
        }
    });
    out.push(b'"');
}

/// Appends bytes as a JSON string of their text escapes, which are escaped again for JSON: a byte
/// that is not printable ASCII becomes the text `\xNN`, a backslash becomes two.
pub(super) fn json_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    plain_runs(out, bytes, |out, byte| match byte {
        b'"' => out.extend_from_slice(br#"\""#),
        b'\\' => out.extend_from_slice(br"\\\\"),
        _ => out.extend_from_slice(&[b'\\', b'\\', b'x', high(byte), low(byte)]),
    });
    out.push(b'"');
}

/// Returns the length of the run of bytes of `class` at the start.
fn run(bytes: &[u8], class: u8) -> usize {
    let mut length = 0;
    // Most values are a single run, so eight bytes are checked for each branch.
    for eight in bytes.as_chunks::<8>().0 {
        if eight
            .iter()
            .fold(class, |all, &byte| all & CLASSES[usize::from(byte)])
            == 0
        {
            break;
        }
        length += eight.len();
    }
    while let Some(&byte) = bytes.get(length)
        && CLASSES[usize::from(byte)] & class != 0
    {
        length += 1;
    }
    length
}

/// Copies runs of plain bytes, and passes each other byte to `escape`.
fn plain_runs(out: &mut Vec<u8>, bytes: &[u8], escape: impl Fn(&mut Vec<u8>, u8)) {
    let mut rest = bytes;
    loop {
        let (plain, after) = rest.split_at(run(rest, PLAIN));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = after.split_first() else {
            return;
        };
        escape(out, byte);
        rest = after;
    }
}

/// Copies visible characters, and passes all others, `"` and `\` to `escape`.
fn shown_runs(out: &mut Vec<u8>, text: &str, escape: impl Fn(&mut Vec<u8>, char)) {
    let mut rest = text;
    loop {
        let plain = run(rest.as_bytes(), PLAIN);
        out.extend_from_slice(&rest.as_bytes()[..plain]);
        if plain == rest.len() {
            return;
        }
        // A run is ASCII, so it ends between two characters.
        let after = &rest[plain..];
        let mut chars = after.chars();
        let Some(char) = chars.next() else {
            return;
        };
        if is_shown(char) {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            escape(out, char);
        }
        rest = chars.as_str();
    }
}

/// Returns whether a character beyond ASCII can be shown as it is: not a control character, not a
/// change of writing direction, not a mark that combines with the character before it.
fn is_shown(char: char) -> bool {
    !char.is_ascii() && char.escape_debug().len() == 1
}

fn escape_char(out: &mut Vec<u8>, char: char) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{}", char.escape_default());
}

fn high(byte: u8) -> u8 {
    HEX[usize::from(byte >> 4)]
}

fn low(byte: u8) -> u8 {
    HEX[usize::from(byte & 15)]
}

//! Escaping of untrusted strings and bytes: one event stays on one line, and no value can pose as
//! another field.
//!
//! Runs of characters that need no escape are found with a lookup table and copied whole.

use std::io::Write as _;

/// Class of characters that need no quotes in a text line: printable ASCII except for the space,
/// `"`, `\`, `=`.
const BARE: u8 = 1;

/// Class of characters that need no escape within quotes, in text and in JSON: printable ASCII
/// except for `"` and `\`.
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

/// Appends a value to a text line, without quotes if possible.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    if is_bare(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text_quoted(out, text);
    }
}

/// Appends a value of arbitrary bytes to a text line.
pub(super) fn text_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_bare(bytes) {
        out.extend_from_slice(bytes);
    } else {
        text_bytes_quoted(out, bytes);
    }
}

/// Appends a string without quotes, in positions where it cannot be misread. Only invisible
/// characters are escaped.
pub(super) fn text_plain(out: &mut Vec<u8>, text: &str) {
    shown_runs(out, text, |out, char| match char {
        '"' => out.push(b'"'),
        '\\' => out.push(b'\\'),
        _ => escape_char(out, char),
    });
}

/// Appends a string in quotes. `"` and `\` get a backslash in front, and invisible characters
/// become `\n` or `\u{202e}`, for example.
pub(super) fn text_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    shown_runs(out, text, |out, char| match char {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        _ => escape_char(out, char),
    });
    out.push(b'"');
}

/// Appends bytes in quotes. `"` and `\` get a backslash in front, and bytes that are not printable
/// ASCII become `\xNN`.
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

/// Appends bytes as a JSON string. The bytes are escaped as in text, and the result is escaped
/// again for JSON. So the string that a JSON parser returns contains `\xNN` for a byte that is not
/// printable ASCII, and two backslashes for one.
pub(super) fn json_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    plain_runs(out, bytes, |out, byte| match byte {
        b'"' => out.extend_from_slice(br#"\""#),
        b'\\' => out.extend_from_slice(br"\\\\"),
        _ => out.extend_from_slice(&[b'\\', b'\\', b'x', high(byte), low(byte)]),
    });
    out.push(b'"');
}

/// Returns the length of the run of bytes of `class` at the start of `bytes`.
fn run(bytes: &[u8], class: u8) -> usize {
    let mut length = 0;
    // Most values are a single run, so one branch checks eight bytes.
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

/// Copies visible characters. Passes `"`, `\` and all invisible characters to `escape`.
fn shown_runs(out: &mut Vec<u8>, text: &str, escape: impl Fn(&mut Vec<u8>, char)) {
    let mut rest = text;
    loop {
        let plain = run(rest.as_bytes(), PLAIN);
        out.extend_from_slice(&rest.as_bytes()[..plain]);
        if plain == rest.len() {
            return;
        }
        // A run consists of ASCII, so it ends on a character boundary.
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

/// Returns whether a non-ASCII character can be shown as it is. Control characters, characters that
/// change the writing direction, and marks that combine with the character before them cannot.
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

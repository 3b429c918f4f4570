//! How text and bytes of strangers are written: one event stays one line, and no value can
//! pose as another field.
//!
//! Runs of characters that need nothing are found by a table and copied whole.

use std::io::Write as _;

/// May stand without quotes in a text line: printable ASCII but for the blank, `"`, `\`, `=`.
const BARE: u8 = 1;

/// Stands for itself within quotes, in text and in JSON: printable ASCII but for `"` and `\`.
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

/// Whether a value of a text line may stand without quotes.
pub(super) fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && run(value, BARE) == value.len()
}

/// A value of a text line: bare where it can be, else in quotes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    if is_bare(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text_quoted(out, text);
    }
}

/// A value of a text line that may hold any bytes.
pub(super) fn text_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_bare(bytes) {
        out.extend_from_slice(bytes);
    } else {
        text_bytes_quoted(out, bytes);
    }
}

/// Text without quotes, for where it cannot be mistaken: only what does not show is escaped.
pub(super) fn text_plain(out: &mut Vec<u8>, text: &str) {
    shown_runs(out, text, |out, char| match char {
        '"' => out.push(b'"'),
        '\\' => out.push(b'\\'),
        _ => escape_char(out, char),
    });
}

/// Text in quotes: `"` and `\` after a backslash, what does not show as `\n` or `\u{202e}`.
pub(super) fn text_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    shown_runs(out, text, |out, char| match char {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        _ => escape_char(out, char),
    });
    out.push(b'"');
}

/// Bytes in quotes: `"` and `\` after a backslash, other bytes than printable ASCII as `\xNN`.
pub(super) fn text_bytes_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    plain_runs(out, bytes, |out, byte| match byte {
        b'"' => out.extend_from_slice(br#"\""#),
        b'\\' => out.extend_from_slice(br"\\"),
        _ => out.extend_from_slice(&[b'\\', b'x', high(byte), low(byte)]),
    });
    out.push(b'"');
}

/// A JSON string (RFC 8259, section 7). What does not show is escaped, although JSON would
/// allow some of it.
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

/// A JSON string of bytes in the escapes of the text format, which JSON's own then escape
/// again: a byte that is no printable ASCII is the text `\xNN`, a backslash is two.
pub(super) fn json_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    plain_runs(out, bytes, |out, byte| match byte {
        b'"' => out.extend_from_slice(br#"\""#),
        b'\\' => out.extend_from_slice(br"\\\\"),
        _ => out.extend_from_slice(&[b'\\', b'\\', b'x', high(byte), low(byte)]),
    });
    out.push(b'"');
}

/// Length of the run of bytes of `class` at the beginning.
fn run(bytes: &[u8], class: u8) -> usize {
    let mut length = 0;
    // Most values are one run: eight bytes for each branch.
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

/// Copies runs of plain bytes, and leaves each other byte to `escape`.
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

/// Copies characters that show as themselves, and leaves the others, `"` and `\` to `escape`.
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

/// Whether a character beyond ASCII shows as itself: no control, no change of writing
/// direction, no mark that joins what stands before it.
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

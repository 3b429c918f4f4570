//! Copies the forwarded lines, whole runs of them at once, and applies edits.

use std::ops::Range;

use crate::http::edit::{self, Edit};
use crate::http::field::HeaderFlags;
use crate::http::fields::{Field, Fields};

/// Appends every forwarded line but those of the kinds in `left_out` and those that edits
/// replace; then the lines of the edits.
///
/// Lines that came as `name: value CRLF` and stand side by side are copied in one piece:
/// most heads are two or three.
pub(super) fn push(fields: &Fields, left_out: HeaderFlags, edits: &[Edit], out: &mut Vec<u8>) {
    let bytes = fields.bytes();
    let mut run = 0..0;
    for line in fields.received() {
        if !line.is_forwarded() || left_out.has(line.kind()) || is_replaced(line, bytes, edits) {
            continue;
        }
        match whole_line(line, bytes) {
            Some(whole) if whole.start == run.end => run.end = whole.end,
            Some(whole) => {
                flush(&run, bytes, out);
                run = whole;
            }
            None => {
                flush(&run, bytes, out);
                run = 0..0;
                push_line(line.name().of(bytes), line.value().of(bytes), out);
            }
        }
    }
    flush(&run, bytes, out);
    if !edits.is_empty() {
        edit::added_lines(edits, |name, value| push_line(name, value, out));
    }
}

#[inline]
fn is_replaced(line: &Field, bytes: &[u8], edits: &[Edit]) -> bool {
    let replaces = |edit: &Edit| edit.replaces(line.kind(), line.name().of(bytes));
    !edits.is_empty() && edits.iter().any(replaces)
}

/// The bytes of a line that stands in the buffer just as this proxy would write it.
#[inline]
fn whole_line(line: &Field, bytes: &[u8]) -> Option<Range<usize>> {
    let (name, value) = (line.name(), line.value());
    let is_plain = value.start() == name.end() + 2
        && bytes.get(name.end()..value.start()) == Some(b": ")
        && bytes.get(value.end()..value.end() + 2) == Some(b"\r\n");
    is_plain.then(|| name.start()..value.end() + 2)
}

fn flush(run: &Range<usize>, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes.get(run.clone()).unwrap_or_default());
}

/// Appends one line.
pub(super) fn push_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

//! Copies the forwarded lines in runs, and applies edits.

use std::ops::Range;

use crate::http::edit::{self, Edit};
use crate::http::field::HeaderFlags;
use crate::http::fields::{Field, Fields};

/// Appends all forwarded lines, except those of the kinds in `left_out` and those that edits
/// replace. Then appends the lines of the edits.
///
/// Adjacent lines that were received as `name: value CRLF` are copied as one run. Most heads
/// consist of two or three runs.
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

/// Returns the range of a line whose bytes in the buffer are exactly what this proxy would write.
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

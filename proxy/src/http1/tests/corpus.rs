//! Replays test inputs of other parsers, and request smuggling attacks.
//!
//! Each file is a table with these columns: name, the other parser's verdict ("theirs"), this
//! parser's verdict ("ours"), the input, and the reason if the verdicts differ. Requests without
//! Host get one, so that a row fails for the reason that it tests.
//!
//! httparse's rows are all inputs of its `tests/uri.rs` and `src/lib.rs` that are tested with the
//! default configuration, each once. llhttp's rows are a selection of `test/request` and
//! `test/response` in strict mode. Some inputs are shortened, or completed with a missing last
//! empty line. Fragments are removed from inputs that do not test them. llhttp's verdicts are those
//! of the revision that the rows come from; later revisions are as strict about folded lines as
//! this parser. In the smuggling table, "theirs" is a strict reading of RFC 9112, not another
//! parser.
//!
//! Sources of inputs and verdicts: <https://github.com/nodejs/llhttp>,
//! <https://github.com/seanmonstar/httparse>.

use super::{Outcome, read_request, read_response};
use crate::http::message::MethodKind;

#[test]
fn httparse_requests() {
    replay(include_str!("corpus/httparse-requests.tsv"), request);
}

#[test]
fn httparse_responses() {
    replay(include_str!("corpus/httparse-responses.tsv"), response);
}

#[test]
fn llhttp_requests() {
    replay(include_str!("corpus/llhttp-requests.tsv"), request);
}

#[test]
fn llhttp_responses() {
    replay(include_str!("corpus/llhttp-responses.tsv"), response);
}

#[test]
fn smuggling() {
    replay(include_str!("corpus/smuggling.tsv"), request);
}

/// Replays a table and reports every row that fails.
fn replay(table: &str, read: fn(&[u8], &[usize]) -> Outcome) {
    let mut wrong = Vec::new();
    for row in table.lines() {
        let columns: Vec<&str> = row.split('\t').collect();
        let [name, theirs, ours, input, reason] = columns[..] else {
            panic!("not a row of five columns: {row}");
        };
        let input = unescape(input);
        let every: Vec<usize> = (0..input.len()).collect();
        let whole = read(&input, &[]);
        let found = verdict(&whole);
        if found != ours {
            wrong.push(format!("{name}: {ours} due, found {found}: {whole:?}"));
        }
        // If garbage without a line end arrives byte by byte, the parser may wait for more.
        let in_bytes = verdict(&read(&input, &every)).to_owned();
        let may_wait = in_bytes == "partial" && !input.ends_with(b"\n");
        if in_bytes != ours && !may_wait {
            wrong.push(format!("{name}: byte by byte {in_bytes}, not {ours}"));
        }
        if (theirs == ours) != reason.is_empty() {
            wrong.push(format!("{name}: a reason is due where verdicts differ"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Whole(_) => "whole",
        Outcome::Partial => "partial",
        Outcome::Refused(_) => "refused",
    }
}

fn request(input: &[u8], cuts: &[usize]) -> Outcome {
    read_request(&with_host(input), cuts)
}

fn response(input: &[u8], cuts: &[usize]) -> Outcome {
    read_response(input, MethodKind::Get, cuts)
}

/// Adds a Host after the request line if there is none.
fn with_host(input: &[u8]) -> Vec<u8> {
    let lower = input.to_ascii_lowercase();
    let first = input.iter().position(|byte| !b"\r\n".contains(byte));
    let line = first.and_then(|first| {
        let end = input[first..].iter().position(|&byte| byte == b'\n')?;
        Some(first + end + 1)
    });
    let has_host = lower
        .windows(5)
        .any(|part| part == b"host:" || part == b"host ");
    match line {
        Some(line) if !has_host => [&input[..line], b"Host: a\r\n", &input[line..]].concat(),
        _ => input.to_vec(),
    }
}

/// Decodes `\r`, `\n`, `\t`, `\\` and `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        let byte = match char {
            '\\' => match rest.next() {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('t') => b'\t',
                Some('x') => {
                    let digits: String = rest.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                _ => b'\\',
            },
            char => u8::try_from(char).unwrap(),
        };
        bytes.push(byte);
    }
    bytes
}

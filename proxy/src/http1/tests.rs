//! Tests of the whole of `http1`: generated messages, and public test inputs of other parsers.

mod corpus;
mod differential;
mod properties;

use super::body::{BodyDecoder, BodyLength};
use super::{Decoded, Limits, Progress, Scan, request, response};
use crate::http::fields::{Field, Fields};
use crate::http::message::{MethodKind, RequestHead, ResponseHead};

/// Name and value of each line.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// Copies the forwarded lines of `fields`.
fn lines(fields: &Fields) -> Lines {
    let own = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    fields.iter().map(own).collect()
}

/// Copies all lines of `fields`.
fn received(fields: &Fields) -> Lines {
    let text = |span| fields.text(span).to_vec();
    let own = |line: &Field| (text(line.name()), text(line.value()));
    fields.received().iter().map(own).collect()
}

/// A message as this parser reads it, including its body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    /// Method and target, or status and reason.
    start: (Vec<u8>, Vec<u8>),
    lines: Lines,
    /// All lines, including those that are not forwarded.
    received: Lines,
    framing: BodyLength,
    body: Vec<u8>,
    trailers: Lines,
    /// Number of input bytes after the message.
    rest: usize,
}

/// Verdict on an input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Whole(Message),
    /// More input is needed.
    Partial,
    /// Rejected, with the reason.
    Refused(String),
}

/// A buffer that is filled step by step, like a connection's.
struct Feed<'a> {
    pieces: std::vec::IntoIter<&'a [u8]>,
    buffer: Vec<u8>,
}

impl<'a> Feed<'a> {
    /// Creates a feed of `input`, split at these positions.
    fn new(input: &'a [u8], cuts: &[usize]) -> Feed<'a> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
        Feed {
            pieces: pieces.into_iter(),
            buffer: Vec::new(),
        }
    }

    /// Adds the next part to the buffer. Returns whether there was one.
    fn read(&mut self) -> bool {
        let piece = self.pieces.next();
        self.buffer.extend_from_slice(piece.unwrap_or_default());
        piece.is_some()
    }

    fn left(self) -> usize {
        self.buffer.len() + self.pieces.map(<[u8]>::len).sum::<usize>()
    }
}

/// Reads one request from `input`, which arrives in parts.
fn read_request(input: &[u8], cuts: &[usize]) -> Outcome {
    let mut feed = Feed::new(input, cuts);
    let (mut scan, mut head) = (Scan::default(), RequestHead::default());
    let found = loop {
        match request::parse(&feed.buffer, &Limits::default(), &mut scan, &mut head) {
            Ok(Progress::Complete(request)) => break request,
            Ok(Progress::Partial { skip }) => drop(feed.buffer.drain(..skip)),
            Err(error) => return Outcome::Refused(error.to_string()),
        }
        if !feed.read() {
            return Outcome::Partial;
        }
    };
    feed.buffer.drain(..found.consumed);
    let start = (head.method().to_vec(), head.target().to_vec());
    read_body(feed, start, head.fields(), found.body)
}

/// Reads one response to a request with `method`.
fn read_response(input: &[u8], method: MethodKind, cuts: &[usize]) -> Outcome {
    let mut feed = Feed::new(input, cuts);
    let (mut scan, mut head) = (Scan::default(), ResponseHead::default());
    let limits = Limits::default();
    let found = loop {
        match response::parse(&feed.buffer, &limits, &mut scan, method, &mut head) {
            Ok(Progress::Complete(response)) => break response,
            Ok(Progress::Partial { skip }) => drop(feed.buffer.drain(..skip)),
            Err(error) => return Outcome::Refused(error.to_string()),
        }
        if !feed.read() {
            return Outcome::Partial;
        }
    };
    feed.buffer.drain(..found.consumed);
    let start = (
        head.status().to_string().into_bytes(),
        head.reason().to_vec(),
    );
    read_body(feed, start, head.fields(), found.body)
}

fn read_body(
    mut feed: Feed<'_>,
    start: (Vec<u8>, Vec<u8>),
    fields: &Fields,
    framing: BodyLength,
) -> Outcome {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut trailers) = (Vec::new(), Fields::default());
    loop {
        let consumed = match decoder.decode(&feed.buffer, &mut trailers) {
            Ok(Decoded::Data(range)) => {
                assert!(!range.is_empty(), "a step without progress");
                body.extend_from_slice(&feed.buffer[range.clone()]);
                range.end
            }
            Ok(Decoded::NeedMore { consumed }) => {
                feed.buffer.drain(..consumed);
                if feed.read() {
                    continue;
                }
                if !decoder.is_complete_at_end() {
                    return Outcome::Partial;
                }
                break;
            }
            Ok(Decoded::End { consumed }) => {
                feed.buffer.drain(..consumed);
                break;
            }
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        feed.buffer.drain(..consumed);
    }
    Outcome::Whole(Message {
        start,
        lines: lines(fields),
        received: received(fields),
        framing,
        body,
        trailers: lines(&trailers),
        rest: feed.left(),
    })
}

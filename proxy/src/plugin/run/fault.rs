//! Faults: everything that can go wrong in a running plugin, as values.
//!
//! A fault fails at most one request, never the process. Created by this module and its siblings;
//! the router logs it and acts according to `on_fault`.

use std::fmt::Write as _;

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::backtrace;

/// Maximum number of bytes that a fault repeats of a text from the guest.
const MAX_TEXT: usize = 1024;

/// Maximum number of bytes of a name, so that a log line has room for the rest of the fault's text.
const MAX_NAME: usize = 256;

/// Reasons why a plugin returned no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The guest trapped: `unreachable`, an out-of-bounds access, stack overflow, or misuse of a
    /// host function.
    #[error("the plugin trapped: {message}")]
    Trap {
        /// Description of the trap.
        message: String,
        /// Backtrace, one line per frame with demangled names; empty if there is none.
        backtrace: String,
    },
    /// The call outlasted its deadline.
    #[error("the plugin overran its deadline")]
    Deadline,
    /// The guest waited for a timer in a call that must not wait.
    #[error("the plugin waits for a timer, which would hold up every request of its worker")]
    Waits,
    /// The guest failed after the host had refused it memory beyond the `memory` limit.
    #[error("the plugin needs more than its {limit} bytes of memory")]
    OutOfMemory {
        /// The limit, in bytes.
        limit: usize,
    },
    /// One call would have made the host allocate more than `host_memory`.
    #[error("the plugin passed more than {limit} bytes in one call")]
    HostMemory {
        /// The limit, in bytes.
        limit: usize,
    },
    /// `configure` or `route` returned this error message.
    #[error("the plugin reported: {0}")]
    Error(String),
    /// The decision names a backend that is not in the configuration.
    #[error("the plugin chose backend {0:?}, which is not in the configuration")]
    UnknownBackend(String),
    /// This instance defined questions that differ from those of the first instance of its version.
    #[error("the plugin's questions differ between its instances: {0}")]
    Questions(String),
    /// The status of the plugin's local reply is not within 200 to 599.
    #[error("the plugin responded with status {0}, which is not within 200 to 599")]
    Status(u16),
    /// A field of the plugin's local reply is invalid, or the plugin is not allowed to set it.
    #[error("the plugin responded with the field {name:?}, which {reason}")]
    ResponseHeader {
        /// Name of the field, as the plugin wrote it.
        name: String,
        /// Reason why the field is rejected.
        reason: &'static str,
    },
    /// The plugin's local reply has a body although its status allows none (RFC 9110, sections
    /// 15.3.5, 15.3.6 and 15.4.5).
    #[error("the plugin responded with a body, which status {0} does not allow")]
    ResponseBody(u16),
    /// The plugin's local reply, fields and body together, is larger than `max_response`.
    #[error("the plugin responded with {size} bytes, over the limit of {limit}")]
    ResponseTooLarge {
        /// Total bytes of names, values and body.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// No instance could be created.
    #[error("the plugin could not be instantiated: {0}")]
    Instantiate(String),
    /// The plugin is suspended after too many faults and was not called.
    #[error("the plugin is suspended after too many faults")]
    Suspended,
    /// The plugin decided, but it keeps too many request handles, so its instance has to be
    /// replaced.
    #[error("the plugin keeps the handles of its requests: its instance is replaced")]
    HandleLeak,
    /// The plugin's new instance is still being created off the worker thread.
    #[error("the plugin's new instance is not ready yet")]
    Starting,
}

impl Fault {
    /// Every possible [`kind`](Self::kind).
    pub const KINDS: [&'static str; 16] = [
        "trap",
        "deadline",
        "waits",
        "out-of-memory",
        "host-memory",
        "error",
        "unknown-backend",
        "questions",
        "status",
        "response-header",
        "response-body",
        "response-too-large",
        "instantiate",
        "suspended",
        "starting",
        "handle-leak",
    ];

    /// Returns the kind of fault as one word, for logs and counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Trap { .. } => "trap",
            Fault::Deadline => "deadline",
            Fault::Waits => "waits",
            Fault::OutOfMemory { .. } => "out-of-memory",
            Fault::HostMemory { .. } => "host-memory",
            Fault::Error(_) => "error",
            Fault::UnknownBackend(_) => "unknown-backend",
            Fault::Questions(_) => "questions",
            Fault::Status(_) => "status",
            Fault::ResponseHeader { .. } => "response-header",
            Fault::ResponseBody(_) => "response-body",
            Fault::ResponseTooLarge { .. } => "response-too-large",
            Fault::Instantiate(_) => "instantiate",
            Fault::Suspended => "suspended",
            Fault::Starting => "starting",
            Fault::HandleLeak => "handle-leak",
        }
    }
}

/// Reasons why the host aborts a call into the guest.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a request-head was used after route returned")]
    StaleHandle,
    #[error("more than {0} edits and options for one request")]
    TooManyEdits(usize),
    #[error("a timeout of 0 ms, which only the queue may have")]
    ZeroTimeout,
    #[error("{0} tries, which is not within 1 to 16")]
    Tries(u32),
    #[error("a tag whose name is not a token of at most {0} characters")]
    TagName(usize),
    #[error("more than {0} tags")]
    TooManyTags(usize),
    #[error("question {0} was not defined")]
    NoQuestion(u32),
    #[error("`ask` on question {0}, whose answer is a value")]
    NotANumber(u32),
    #[error("question {0}, whose answer is a number, where a value is wanted")]
    NotAValue(u32),
    #[error("a question was defined outside of `configure`")]
    DefinedTooLate,
    #[error("the function {0} is not there in this proxy, which is older than the plugin")]
    Missing(String),
    #[error("it waits for an event that can never occur")]
    WaitsForever,
    #[error("it waits beyond its deadline")]
    WaitsBeyondDeadline,
    #[error("it waits, which would hold up its worker")]
    Waits,
    #[error("it waits for more than {0} events at once")]
    TooManyEvents(usize),
}

/// The limits and refusals of a store, needed to turn an error from wasmtime into a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explain {
    pub(super) memory: usize,
    /// Whether the guest was refused more memory during the call.
    pub(super) memory_refused: bool,
    pub(super) host_memory: usize,
}

/// Returns the fault that corresponds to an error from a call into a guest.
pub(super) fn from_call(error: &wasmtime::Error, explain: Explain) -> Fault {
    if matches!(error.downcast_ref(), Some(Trap::Interrupt)) {
        return Fault::Deadline;
    }
    match error.downcast_ref() {
        Some(Refusal::WaitsBeyondDeadline) => return Fault::Deadline,
        Some(Refusal::Waits) => return Fault::Waits,
        _ => {}
    }
    let root = error.root_cause().to_string();
    // wasmtime's type for this error is private, so only its text can identify it.
    if root.contains("fuel allocated for hostcalls has been exhausted") {
        return Fault::HostMemory {
            limit: explain.host_memory,
        };
    }
    if explain.memory_refused {
        return Fault::OutOfMemory {
            limit: explain.memory,
        };
    }
    let message = match error.downcast_ref::<I32Exit>() {
        Some(exit) => format!("it exited with status {}", exit.0),
        None => text(&root),
    };
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(backtrace::describe)
        .unwrap_or_default();
    Fault::Trap { message, backtrace }
}

/// Returns the fault that corresponds to an error from instantiation: a trap in the start code, or
/// no room for the instance.
pub(super) fn from_instantiation(error: &wasmtime::Error, explain: Explain) -> Fault {
    match from_call(error, explain) {
        Fault::Trap { backtrace, .. } if backtrace.is_empty() => {
            Fault::Instantiate(text(&format!("{error:#}")))
        }
        fault => fault,
    }
}

/// Makes text from a guest fit for one log line: escapes control characters and bounds the length.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len().min(MAX_TEXT));
    escape(raw, MAX_TEXT, &mut out);
    out
}

/// Makes a name from a guest fit for one log line, with the shorter limit for names.
pub(super) fn name(raw: &str) -> String {
    let mut out = String::new();
    escape(raw, MAX_NAME, &mut out);
    out
}

/// Appends at most `limit` bytes of `raw` to `out`, with control characters escaped.
pub(super) fn escape(raw: &str, limit: usize, out: &mut String) {
    let end = raw.floor_char_boundary(limit);
    let mut rest = &raw[..end];
    while !rest.is_empty() {
        // Most text is plain and is copied in one step, since the worker waits for it.
        let special = rest.bytes().position(|byte| !(b' '..=b'~').contains(&byte));
        let (plain, after) = rest.split_at(special.unwrap_or(rest.len()));
        out.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            // Also escape characters that change the direction of text: a log line must display in
            // the order in which it is written.
            Some(char)
                if char.is_control()
                    || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.extend(char.escape_default());
            }
            Some(char) => out.push(char),
            None => {}
        }
        rest = chars.as_str();
    }
    if end < raw.len() {
        // Writing to a String cannot fail.
        let _ = write!(out, "… ({} bytes)", raw.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_bounded_line() {
        let check = |raw: &str, expected: &str| assert_eq!(text(raw), expected);
        check("plain ä", "plain ä");
        check("a\nb\r\x1b[31m\u{7f}\0", "a\\nb\\r\\u{1b}[31m\\u{7f}\\u{0}");
        check("\u{202e}evil\u{2028}", "\\u{202e}evil\\u{2028}");
        check("", "");
        check("\n", "\\n");
        check("äa\u{85}", "äa\\u{85}");
        let long = "ä".repeat(MAX_TEXT);
        assert!(text(&long).ends_with("… (2048 bytes)"));
        assert!(text(&long).len() < MAX_TEXT + 32);
    }
}

//! Results of a rollout: how often the version under rollout was called, and where its decisions
//! differed.
//!
//! There is one [`Results`] for all workers, with separate counters for each. It outlives the
//! rollout, so that the results of a trial can be inspected after the trial has ended. Written by
//! `router`, read by `admin`.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Mutex;

use http::HeaderName;
use percent_encoding::percent_decode_str;

use crate::http::edit::{Action, Edit};
use crate::http::message::RequestHead;
use crate::plugin::{Decision, Fault, Target};
use crate::telemetry::Counter;

/// Maximum number of differing decisions that are kept as examples.
const MAX_EXAMPLES: usize = 10;
/// Maximum number of characters of a field's value, or of a target, in an example.
const MAX_VALUE: usize = 200;
/// Placeholder for the value of a redacted parameter.
const NOT_SHOWN: &str = "(not shown)";

/// Results of a rollout so far.
#[derive(Debug)]
pub struct Results {
    /// Fields and query parameters whose values are omitted from examples.
    redact: Vec<HeaderName>,
    counts: Box<[Counts]>,
    /// Examples of differing decisions. Workers never wait for the lock: if another thread holds
    /// it, the worker drops its example.
    examples: Mutex<Vec<Example>>,
}

/// Counters of one worker, which only that worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts {
    called: Counter,
    differing: Counter,
    failed: Counter,
}

/// Results of a rollout so far, over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Number of requests for which the version was called.
    pub called: u64,
    /// Number of requests for which the active version decided differently; counted only for a
    /// mirrored version.
    pub differing: u64,
    /// Number of requests for which the version failed. With a canary, the active version then
    /// decided.
    pub failed: u64,
    /// The first requests for which the decisions differed.
    pub examples: Vec<Example>,
}

/// A request for which two versions decided differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Method of the request.
    pub method: String,
    /// Path and query of the request, without the values of redacted parameters.
    pub target: String,
    /// Fields of the request, without the values of redacted ones.
    pub fields: Vec<(String, Option<String>)>,
    /// Description of the active version's decision.
    pub active: String,
    /// Description of the decision of the version under rollout.
    pub candidate: String,
}

/// A version's decision or fault.
type Answer = Result<Rc<Decision>, Fault>;

impl Results {
    /// Creates empty results for `workers`.
    pub(super) fn new(redact: Vec<HeaderName>, workers: usize) -> Results {
        Results {
            redact,
            counts: (0..workers).map(|_| Counts::default()).collect(),
            examples: Mutex::default(),
        }
    }

    /// Returns the sum over all workers.
    pub fn report(&self) -> Report {
        let sum = |counter: fn(&Counts) -> &Counter| {
            self.counts.iter().map(|counts| counter(counts).get()).sum()
        };
        let examples = self.examples.lock();
        Report {
            called: sum(|counts| &counts.called),
            differing: sum(|counts| &counts.differing),
            failed: sum(|counts| &counts.failed),
            examples: examples
                .map(|examples| examples.clone())
                .unwrap_or_default(),
        }
    }

    /// Records a decision.
    pub(super) fn record(&self, worker: usize, answer: &Answer) {
        let counts = &self.counts[worker];
        counts.called.count();
        if answer.is_err() {
            counts.failed.count();
        }
    }

    /// Records a decision on a mirrored request, and compares it with the active version's
    /// decision.
    pub(super) fn compare(
        &self,
        worker: usize,
        head: &RequestHead,
        active: &Answer,
        candidate: &Answer,
    ) {
        self.record(worker, candidate);
        // Two faults count as the same, since their messages can differ.
        let is_same = match (active, candidate) {
            (Ok(active), Ok(candidate)) => active == candidate,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        self.counts[worker].differing.count();
        let Ok(mut examples) = self.examples.try_lock() else {
            return;
        };
        if examples.len() < MAX_EXAMPLES {
            examples.push(self.example(head, active, candidate));
        }
    }

    fn example(&self, head: &RequestHead, active: &Answer, candidate: &Answer) -> Example {
        let lossy = |bytes| String::from_utf8_lossy(bytes);
        let fields = head.fields().iter().map(|(name, value)| {
            let name = lossy(name).to_ascii_lowercase();
            let value = (!self.is_redacted(&name)).then(|| shorten(&lossy(value)));
            (name, value)
        });
        Example {
            method: lossy(head.method()).into_owned(),
            target: self.target(head.target()),
            fields: fields.collect(),
            active: self.describe(active),
            candidate: self.describe(candidate),
        }
    }

    fn is_redacted(&self, name: &str) -> bool {
        let mut redacted = self.redact.iter();
        redacted.any(|redacted| redacted.as_str().eq_ignore_ascii_case(name))
    }

    /// Formats a target for display. Query parameters are redacted in the same way as fields.
    fn target(&self, target: &[u8]) -> String {
        let target = String::from_utf8_lossy(target);
        let Some((path, query)) = target.split_once('?') else {
            return shorten(&target);
        };
        let parameters = query
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((name, _))
                    if self.is_redacted(&percent_decode_str(name).decode_utf8_lossy()) =>
                {
                    Cow::Owned(format!("{name}={NOT_SHOWN}"))
                }
                _ => Cow::Borrowed(parameter),
            });
        let parameters: Vec<_> = parameters.collect();
        shorten(&format!("{path}?{}", parameters.join("&")))
    }

    fn describe(&self, answer: &Answer) -> String {
        let decision = match answer {
            Ok(decision) => decision,
            Err(fault) => return format!("fault: {}", fault.kind()),
        };
        decision.route.describe() + &self.describe_changes(decision)
    }

    /// Describes the changes of a decision, without the values of fields, which may be secrets.
    fn describe_changes(&self, decision: &Decision) -> String {
        let edits = &decision.edits;
        let fields = |edits: &[Edit], of: &'static str| {
            let edits = edits.iter().map(move |edit| {
                let verb = match edit.action() {
                    Action::Set(_) => "sets",
                    Action::Append(_) => "appends",
                    Action::Remove => "removes",
                };
                format!(", {verb} {of}{}", edit.name().escape_ascii())
            });
            edits.collect::<String>()
        };
        let authority = edits.authority.iter().map(|_| ", sets host".to_owned());
        let target = edits.target.iter().map(|target| match target {
            Target::Whole(target) => format!(", target {}", self.target(target)),
            Target::Prefix { length, .. } => format!(", replaces {length} bytes of the path"),
        });
        let options = &decision.options;
        let options = if options.is_empty() {
            ""
        } else {
            ", sets options"
        };
        authority
            .chain([fields(&edits.fields, "")])
            .chain(target)
            .chain([fields(&decision.response_edits, "response ")])
            .chain([options.to_owned()])
            .collect()
    }
}

/// Cuts a string to [`MAX_VALUE`] characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_redacted_as_fields_are() {
        let redact = ["cookie", "access_token"].map(HeaderName::from_static);
        let results = Results::new(redact.to_vec(), 1);
        for (target, shown) in [
            ("/", "/"),
            ("/cookie=a", "/cookie=a"),
            ("/?a=b&cookie=c", "/?a=b&cookie=(not shown)"),
            ("/?Access_Token=c&a", "/?Access_Token=(not shown)&a"),
            ("/?%63ookie=c", "/?%63ookie=(not shown)"),
            ("/?cookie", "/?cookie"),
            ("/?cookies=c", "/?cookies=c"),
            ("/?a=%zz&%", "/?a=%zz&%"),
        ] {
            assert_eq!(results.target(target.as_bytes()), shown);
        }
    }

    #[test]
    fn long_targets_are_cut() {
        let results = Results::new(Vec::new(), 1);
        let target = format!("/?{}", "ä".repeat(500));
        let shown = results.target(target.as_bytes());
        assert_eq!(shown.chars().count(), MAX_VALUE + 3, "{shown}");
    }
}

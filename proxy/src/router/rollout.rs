//! The gradual rollout of a version beside the active one: requests are mirrored to it, or it
//! decides for a share of the clients.
//!
//! One [`Rollout`] for all workers, each with counters of its own. Started and ended by the room
//! `rollout`; used by `router`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use http::HeaderName;

use super::version::Version;
use crate::http::edit::Action;
use crate::http::message::RequestHead;
use crate::plugin::{Decision, Edits, Fault, Route};
use crate::telemetry::Counter;

/// Most differing decisions that are kept as examples.
const MAX_EXAMPLES: usize = 10;
/// Most bytes of a field's value, or of a target, in an example.
const MAX_VALUE: usize = 200;
/// Parts of the whole that a share is counted in.
const WHOLE: u32 = 10_000;

/// A version that is being rolled out.
#[derive(Debug)]
pub struct Rollout {
    version: Arc<Version>,
    mode: Mode,
    share: Share,
    /// Fields whose values are left out of examples.
    redact: Vec<HeaderName>,
    counts: Box<[Counts]>,
    /// Workers never wait for the lock: one that finds it taken drops its example.
    examples: Mutex<Vec<Example>>,
}

/// How a version is tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A share of the requests is mirrored to it: its decisions are compared, without effect.
    Mirror,
    /// It decides for a share of the clients.
    Canary,
}

/// A part of the requests or of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

/// Of one worker, which alone writes them.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts {
    asked: Counter,
    differing: Counter,
    failed: Counter,
}

/// Results of a rollout so far, over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Requests on which the version was asked.
    pub asked: u64,
    /// Those on which the active version decided otherwise; with [`Mode::Mirror`] alone.
    pub differing: u64,
    /// Those on which it failed; with [`Mode::Canary`] the active version decided.
    pub failed: u64,
    /// The first differing ones.
    pub examples: Vec<Example>,
}

/// A request on which two versions decided differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its fields; redacted ones without their values.
    pub fields: Vec<(String, Option<String>)>,
    /// What the active version decided, in words.
    pub active: String,
    /// What the version under rollout decided, in words.
    pub candidate: String,
}

impl Mode {
    /// As users know it: in flags, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Mirror => "shadow",
            Mode::Canary => "canary",
        }
    }
}

impl Share {
    /// Of a percentage, to a hundredth; None for 0 and less, and for more than 100.
    pub fn of_percent(percent: f64) -> Option<Share> {
        let parts = (percent * f64::from(WHOLE) / 100.0).round();
        if !(1.0..=f64::from(WHOLE)).contains(&parts) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 10,000"
        )]
        Some(Share(parts as u32))
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) * 100.0 / f64::from(WHOLE)
    }

    /// Whether the next of a row is part of it; `sum` is the row's.
    pub(super) fn takes_next(self, sum: &mut u32) -> bool {
        *sum += self.0;
        let takes = *sum >= WHOLE;
        *sum %= WHOLE;
        takes
    }

    /// Whether a client is part of it: the same ones in every worker and every process, and
    /// with a greater share all of them and more.
    pub(super) fn takes_client(self, address: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        hasher.finish() % u64::from(WHOLE) < u64::from(self.0)
    }
}

impl Rollout {
    /// A rollout to `workers`.
    pub fn new(
        version: Arc<Version>,
        mode: Mode,
        share: Share,
        redact: Vec<HeaderName>,
        workers: usize,
    ) -> Rollout {
        Rollout {
            version,
            mode,
            share,
            redact,
            counts: (0..workers).map(|_| Counts::default()).collect(),
            examples: Mutex::default(),
        }
    }

    /// The version that is being rolled out.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// How it is tried out.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Of the requests or the clients.
    pub fn share(&self) -> Share {
        self.share
    }

    /// Its results so far.
    pub fn report(&self) -> Report {
        let sum = |counter: fn(&Counts) -> &Counter| {
            self.counts.iter().map(|counts| counter(counts).get()).sum()
        };
        let examples = self.examples.lock();
        Report {
            asked: sum(|counts| &counts.asked),
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
        counts.asked.count();
        if answer.is_err() {
            counts.failed.count();
        }
    }

    /// Records a decision on a mirrored request, beside the active version's.
    pub(super) fn compare(
        &self,
        worker: usize,
        head: &RequestHead,
        active: &Answer,
        candidate: &Answer,
    ) {
        self.record(worker, candidate);
        // Errors are no decisions: their texts may differ.
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
            let is_shown = !self.redact.iter().any(|redacted| redacted.as_str() == name);
            let value = is_shown.then(|| shorten(&lossy(value)));
            (name, value)
        });
        Example {
            method: lossy(head.method()).into_owned(),
            target: shorten(&lossy(head.target())),
            fields: fields.collect(),
            active: describe(active),
            candidate: describe(candidate),
        }
    }
}

/// What a version answered.
type Answer = Result<Rc<Decision>, Fault>;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn describe(answer: &Answer) -> String {
    let decision = match answer {
        Ok(decision) => decision,
        Err(fault) => return format!("fault: {}", fault.kind()),
    };
    let route = match &decision.route {
        Route::Backend(name) => format!("backend {name}"),
        Route::Default => "the default backend".to_owned(),
        Route::Respond(response) => format!("answer {}", response.status),
    };
    route + &describe_edits(&decision.edits)
}

/// Without the values of fields, which may be secrets.
fn describe_edits(edits: &Edits) -> String {
    let host = edits.host.iter().map(|_| ", sets host".to_owned());
    let fields = edits.fields.iter().map(|edit| {
        let verb = match edit.action() {
            Action::Set(_) => "sets",
            Action::Append(_) => "appends",
            Action::Remove => "removes",
        };
        format!(", {verb} {}", edit.name().escape_ascii())
    });
    let target = edits.target.iter().map(|target| {
        let target = String::from_utf8_lossy(target);
        format!(", target {}", shorten(&target))
    });
    host.chain(fields).chain(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let check = |percent: f64, parts| {
            assert_eq!(
                Share::of_percent(percent).map(|share| share.0),
                parts,
                "{percent}"
            );
        };
        check(10.0, Some(1000));
        check(0.01, Some(1));
        check(100.0, Some(10_000));
        check(0.0, None);
        check(-1.0, None);
        check(100.1, None);
        check(f64::NAN, None);
    }

    #[test]
    fn a_share_of_requests_is_exact() {
        for percent in [0.5, 10.0, 33.33, 100.0] {
            let share = Share::of_percent(percent).unwrap();
            let mut sum = 0;
            let taken = (0..WHOLE).filter(|_| share.takes_next(&mut sum)).count();
            assert_eq!(taken, share.0 as usize, "{percent}");
        }
    }

    #[test]
    fn a_greater_share_has_the_clients_of_a_smaller_one() {
        let (small, large) = (Share(1000), Share(3000));
        let clients: Vec<String> = (0..10_000)
            .map(|n| format!("10.0.{}.{}", n / 256, n % 256))
            .collect();
        let taken = |share: Share| clients.iter().filter(|one| share.takes_client(one)).count();
        assert!((800..1200).contains(&taken(small)), "{}", taken(small));
        assert!((2700..3300).contains(&taken(large)), "{}", taken(large));
        let both = |one: &&String| small.takes_client(one) && !large.takes_client(one);
        assert_eq!(clients.iter().filter(both).count(), 0);
    }
}

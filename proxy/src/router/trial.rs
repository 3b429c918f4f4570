//! A version on trial beside the active one: asked without effect, or deciding for a share of
//! the clients.
//!
//! One [`Trial`] for all workers; who asks for its report sums up. Used by `router`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use http::HeaderName;

use super::version::Version;
use super::{Decided, Route};
use crate::http::head::Head;
use crate::plugin::{Edit, Fault};
use crate::telemetry::Counter;

/// Most differing decisions that are kept as examples.
const MAX_EXAMPLES: usize = 10;
/// Most bytes of a field's value, or of a target, in an example.
const MAX_VALUE: usize = 200;
/// Parts of the whole that a share is counted in.
const WHOLE: u32 = 10_000;

/// A version on trial.
#[derive(Debug)]
pub struct Trial {
    version: Arc<Version>,
    mode: Mode,
    share: Share,
    /// Fields whose values are in no example.
    redact: Vec<HeaderName>,
    counts: Box<[Counts]>,
    /// Never waited for by a worker: one that finds it taken leaves its example out.
    examples: Mutex<Vec<Example>>,
}

/// What the version on trial does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is asked about a share of the requests; its decisions are compared, and no more.
    Shadow,
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

/// What came of a trial so far, over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Requests on which the version on trial was asked.
    pub asked: u64,
    /// Those of which the active version decided otherwise; with [`Mode::Shadow`] alone.
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
    /// Its fields; those that are not to be shown without their values.
    pub fields: Vec<(String, Option<String>)>,
    /// What the active version decided, in words.
    pub active: String,
    /// What the version on trial decided, in words.
    pub trial: String,
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

impl Trial {
    /// A trial in so many workers.
    pub fn new(
        version: Arc<Version>,
        mode: Mode,
        share: Share,
        redact: Vec<HeaderName>,
        workers: usize,
    ) -> Trial {
        Trial {
            version,
            mode,
            share,
            redact,
            counts: (0..workers).map(|_| Counts::default()).collect(),
            examples: Mutex::default(),
        }
    }

    /// The version on trial.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// What it does.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// For how many.
    pub fn share(&self) -> Share {
        self.share
    }

    /// What came of it so far.
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

    /// Notes a decision with effect.
    pub(super) fn decided(&self, worker: usize, decided: &Decision) {
        let counts = &self.counts[worker];
        counts.asked.count();
        if decided.is_err() {
            counts.failed.count();
        }
    }

    /// Notes a decision without effect, beside the active version's.
    pub(super) fn compared(&self, worker: usize, head: &Head, active: &Decision, trial: &Decision) {
        self.decided(worker, trial);
        // Errors are no decisions: their texts may differ.
        let is_same = match (active, trial) {
            (Ok(active), Ok(trial)) => active == trial,
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
            examples.push(self.example(head, active, trial));
        }
    }

    fn example(&self, head: &Head, active: &Decision, trial: &Decision) -> Example {
        let fields = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let is_shown = !self.redact.contains(name);
            (name.to_string(), is_shown.then(|| shorten(&value)))
        });
        Example {
            method: head.method.to_string(),
            target: shorten(head.path_and_query.as_str()),
            fields: fields.collect(),
            active: describe(active),
            trial: describe(trial),
        }
    }
}

/// What a seat hands out.
type Decision = Result<Rc<Decided>, Fault>;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn describe(decided: &Decision) -> String {
    let decided = match decided {
        Ok(decided) => decided,
        Err(fault) => return format!("fault: {}", fault.kind()),
    };
    let route = match &decided.route {
        Route::Backend(name) => format!("backend {name}"),
        Route::Default => "the default backend".to_owned(),
        Route::Respond(response) => format!("answer {}", response.status.as_u16()),
    };
    let edits = decided.edits.iter().map(|edit| match edit {
        Edit::Set(name, _) => format!(", sets {name}"),
        Edit::Append(name, _) => format!(", appends {name}"),
        Edit::Remove(name) => format!(", removes {name}"),
        Edit::Target(target) => format!(", target {}", shorten(target.as_str())),
    });
    std::iter::once(route).chain(edits).collect()
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

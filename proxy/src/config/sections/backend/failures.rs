//! `backend.NAME.outlier` and `backend.NAME.retry`: which failures count against a server, and
//! which cause a retry.

use std::ops::RangeInclusive;

use http::Method;

use super::statuses;
use crate::config::hints;
use crate::config::reader::{Entry, Table};
use crate::config::sections::{TIMEOUT, WAIT, ordered, whole};
use crate::config::{Failures, Outlier, Retry};

/// Number of consecutive failures.
const CONSECUTIVE: RangeInclusive<u32> = 0..=1000;

/// Number of retries. Each retry makes the client wait and burdens the remaining servers.
const ATTEMPTS: RangeInclusive<u32> = 0..=16;

const SHARE: RangeInclusive<u32> = 0..=100;

/// HTTP methods (RFC 9110, section 9; RFC 5789).
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The table whose `on` is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Outlier,
    Retry,
}

pub(super) fn outlier(mut table: Table<'_>) -> Outlier {
    let default = Outlier::default();
    let least = ("ejection", default.ejection);
    let most = ("max_ejection", default.max_ejection);
    let (ejection, max_ejection) = ordered(&mut table, &TIMEOUT, least, most);
    let outlier = Outlier {
        consecutive: table.value_or("consecutive", default.consecutive, |e| {
            whole(e, CONSECUTIVE)
        }),
        on: table.value_or("on", default.on, |e| Some(failures(e, Key::Outlier))),
        ejection,
        max_ejection,
        max_ejected: table.value_or("max_ejected", default.max_ejected, |e| e.percent(SHARE)),
        panic: table.value_or("panic", default.panic, |e| e.percent(SHARE)),
    };
    table.finish();
    outlier
}

pub(super) fn retry(mut table: Table<'_>) -> Retry {
    let default = Retry::default();
    let methods = table.take("methods").map(|e| e.one_or_many());
    let retry = Retry {
        attempts: table.value_or("attempts", default.attempts, |e| whole(e, ATTEMPTS)),
        on: table.value_or("on", default.on, |e| Some(failures(e, Key::Retry))),
        methods: methods.iter().flatten().filter_map(method).collect(),
        pause: table.value_or("pause", default.pause, |e| e.duration(WAIT)),
        budget: table.value_or("budget", default.budget, |e| e.percent(SHARE)),
    };
    table.finish();
    retry
}

fn failures(entry: &Entry<'_>, key: Key) -> Failures {
    let mut failures = Failures::default();
    for element in entry.one_or_many() {
        let Some(text) = element.text("503") else {
            continue;
        };
        match (text, key) {
            ("reset", _) => failures.reset = true,
            ("timeout", _) => failures.timeout = true,
            ("connect", Key::Retry) => failures.connect = true,
            ("refused-stream", Key::Retry) => failures.refused_stream = true,
            ("connect", Key::Outlier) => element.refuse(
                "does not count failed connections",
                "not one of these",
                "leave it out: an address that cannot be connected to gets no requests anyway",
            ),
            ("refused-stream", Key::Outlier) => element.refuse(
                "does not count refused streams",
                "not one of these",
                "leave it out: a server that refuses a stream is not at fault",
            ),
            (text, key) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                let bounds = match key {
                    Key::Outlier => statuses::FINAL,
                    Key::Retry => statuses::FAILED,
                };
                failures
                    .statuses
                    .0
                    .extend(statuses::range(&element, text, &bounds));
            }
            (text, key) => unknown_failure(&element, text, key),
        }
    }
    failures
}

fn unknown_failure(element: &Entry<'_>, text: &str, key: Key) {
    let words: &[&str] = match key {
        Key::Outlier => &["reset", "timeout"],
        Key::Retry => &["connect", "refused-stream", "reset", "timeout"],
    };
    let ours = hints::failure(text).filter(|ours| words.contains(ours));
    let help = match ours.or_else(|| hints::closest(text, words)) {
        Some(word) => format!("did you mean `\"{word}\"`?"),
        None => "statuses are written `\"503\"`, `\"5xx\"` or `\"500-504\"`".to_owned(),
    };
    let what = format!("must be a status, {}", hints::list(words));
    element.refuse(&what, "not one of these", help);
}

fn method(entry: &Entry<'_>) -> Option<Method> {
    let text = entry.text("POST")?;
    let help = match METHODS
        .iter()
        .find(|m| m.as_str().eq_ignore_ascii_case(text))
    {
        Some(method) if method.as_str() == text => return Some(method.clone()),
        Some(method) => format!("write `\"{method}\"`"),
        None => match Method::try_from(text) {
            Ok(method) => return Some(method),
            Err(_) => "as in `\"POST\"`".to_owned(),
        },
    };
    entry.refuse("is not a method", "no method has this name", help);
    None
}

//! Bytes from any client as the input of questions: a part of the head, or a JSON body.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use pointsman::http::head::Client;
use pointsman::http::message::{RequestHead, Version};
use pointsman::questions::{Answer, Body, Builder, Case, Draws, MatchKind, Questions, Subject};
use pointsman::tables::Tables;

const KINDS: [MatchKind; 8] = [
    MatchKind::Exact,
    MatchKind::Prefix,
    MatchKind::PathPrefix,
    MatchKind::Suffix,
    MatchKind::FirstSuffix,
    MatchKind::Domain,
    MatchKind::Network,
    MatchKind::Regex,
];

/// The questions. The last one reads a body's member `/a`.
static QUESTIONS: LazyLock<Arc<Questions>> = LazyLock::new(|| {
    let mut builder = Builder::new(1 << 20, Arc::new(Tables::default()), Box::new(|_| true));
    for kind in KINDS {
        for over in ["header:x", "values:x"] {
            let mut matcher = builder.matcher(kind, over, Case::Ignored);
            let entries = match kind {
                MatchKind::Network => ["10.0.0.0/8", "10.1.0.0/16", "::/0", "2001:db8::/32"],
                _ => ["a", "ab", "a.b", "b-a"],
            };
            for (entry, number) in entries.into_iter().zip(0..) {
                matcher.push(entry, number);
            }
            matcher.finish().expect("every kind takes these");
        }
    }
    builder.value("body-json:/a").expect("there is such a part");
    builder.build().expect("all are defined")
});

fuzz_target!(|bytes: &[u8]| {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/", Version::Http11);
    head.fields_mut().push(b"x", bytes);
    let client = Client::default();
    let subject = Subject {
        head: &head,
        client: &client,
        tls: None,
        body: Some(Body {
            bytes,
            is_complete: true,
        }),
    };
    let draws = Draws::default();
    let last = u32::try_from(QUESTIONS.len() - 1).expect("there are few");
    for number in 0..last {
        let answer = QUESTIONS.answer(number, subject, &draws, &|_| true);
        assert!(answer.number().is_none_or(|number| number < 4));
    }
    if let Answer::Value(value) = QUESTIONS.answer(last, subject, &draws, &|_| true) {
        compare(bytes, &value);
    }
});

/// Checks the value that was found at `/a`. If a member occurs twice, `serde_json` uses the last
/// one.
fn compare(bytes: &[u8], value: &[u8]) {
    let whole: serde_json::Value = match serde_json::from_slice(bytes) {
        Ok(whole) => whole,
        // Another part of the body contains a number or a character that `serde_json` cannot
        // represent.
        Err(error) => return assert!(error.is_syntax(), "{error}"),
    };
    let found = whole.pointer("/a").expect("it is there");
    if let Some(text) = found.as_str() {
        assert_eq!(text.as_bytes(), value);
    }
}

//! Benchmarks of questions with 100,000 entries, and of values that a client has crafted to be slow
//! to match.
//!
//! `match_one` includes reading the value; `read_one` measures the reading alone. The `alloc` line
//! of `memory` shows the bytes that a matcher keeps.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::BytesCount;
use pointsman::http::head::Client;
use pointsman::http::message::{RequestHead, Version};
use pointsman::questions::{Answer, Body, Builder, Case, Draws, MatchKind, Questions, Subject};
use pointsman::tables::Tables;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const ENTRIES: u32 = 100_000;

/// Number of requests. The benchmarks cycle through them, so that no value is in a CPU cache.
const REQUESTS: u32 = 10_000;

fn main() {
    divan::main();
}

/// Spreads numbers over 32 bits, deterministically.
fn spread(number: u32) -> u32 {
    (number ^ (number >> 15))
        .wrapping_mul(0x2c1b_3c6d)
        .rotate_left(13)
        .wrapping_mul(0x297a_2d39)
}

/// Encodes a number in letters.
fn word(mut number: u32, letters: u32) -> String {
    let mut word = String::new();
    for _ in 0..letters {
        word.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
    }
    word
}

fn host(number: u32) -> String {
    let spread = spread(number);
    format!(
        "{}{number:x}.{}.example.com",
        word(spread, 4),
        word(spread >> 20, 2)
    )
}

fn path(number: u32) -> String {
    format!("/p{number:05}")
}

fn nested_path(number: u32) -> String {
    let spread = spread(number);
    format!("/{}/{}/{number}", word(spread, 3), word(spread >> 16, 3))
}

fn network(number: u32) -> String {
    let address = std::net::Ipv4Addr::from(spread(number) & 0xffff_ff00 | number & 0xff);
    format!("{address}/32")
}

fn network_v6(number: u32) -> String {
    let bits = 0x2001_0db8_u128 << 96 | u128::from(spread(number)) << 64 | u128::from(number) << 32;
    format!("{}/96", std::net::Ipv6Addr::from(bits))
}

/// A matcher, the form of its entries, and the values that are matched.
#[derive(Clone, Copy)]
struct Case100k {
    name: &'static str,
    kind: MatchKind,
    case: Case,
    over: &'static str,
    entry: fn(u32) -> String,
    part: fn(u32) -> String,
}

const CASES: [Case100k; 9] = [
    Case100k {
        name: "exact, hosts",
        kind: MatchKind::Exact,
        case: Case::Sensitive,
        over: "header:x",
        entry: host,
        part: host,
    },
    Case100k {
        name: "prefix, short paths",
        kind: MatchKind::Prefix,
        case: Case::Sensitive,
        over: "path",
        entry: path,
        part: |number| format!("{}/rest/of/it", path(number)),
    },
    Case100k {
        name: "path-prefix, short paths",
        kind: MatchKind::PathPrefix,
        case: Case::Sensitive,
        over: "path",
        entry: path,
        part: |number| format!("{}/rest/of/it", path(number)),
    },
    Case100k {
        name: "path-prefix, nested paths",
        kind: MatchKind::PathPrefix,
        case: Case::Sensitive,
        over: "path",
        entry: nested_path,
        part: |number| format!("{}/rest/of/it", nested_path(number)),
    },
    Case100k {
        name: "suffix, any case",
        kind: MatchKind::Suffix,
        case: Case::Ignored,
        over: "header:x",
        entry: host,
        part: |number| format!("www.{}", host(number)),
    },
    Case100k {
        name: "first-suffix",
        kind: MatchKind::FirstSuffix,
        case: Case::Sensitive,
        over: "header:x",
        entry: host,
        part: |number| format!("www.{}", host(number)),
    },
    Case100k {
        name: "domain",
        kind: MatchKind::Domain,
        case: Case::Ignored,
        over: "header:x",
        entry: host,
        part: |number| format!("www.{}", host(number)),
    },
    Case100k {
        name: "network, IPv4",
        kind: MatchKind::Network,
        case: Case::Sensitive,
        over: "header:x",
        entry: network,
        part: |number| network(number).trim_end_matches("/32").to_owned(),
    },
    Case100k {
        name: "network, IPv6",
        kind: MatchKind::Network,
        case: Case::Sensitive,
        over: "header:x",
        entry: network_v6,
        part: |number| network_v6(number).trim_end_matches("/96").to_owned(),
    },
];

impl std::fmt::Display for Case100k {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for Case100k {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn builder() -> Builder {
    Builder::new(1 << 30, Arc::new(Tables::default()), Box::new(|_| true))
}

impl Case100k {
    fn entries(self) -> Vec<String> {
        (0..ENTRIES).map(self.entry).collect()
    }

    fn questions(self, entries: &[String]) -> Arc<Questions> {
        let mut builder = builder();
        let mut matcher = builder.matcher(self.kind, self.over, self.case);
        for (entry, number) in entries.iter().zip(1..) {
            matcher.push(entry, number % 100);
        }
        matcher.finish().unwrap();
        builder.build().unwrap()
    }
}

fn head(over: &str, part: &str) -> RequestHead {
    let mut head = RequestHead::default();
    let target = if over == "path" { part } else { "/" };
    head.start(b"GET", target.as_bytes(), Version::Http11);
    head.fields_mut().push(b"host", b"io.test.tld");
    head.fields_mut().push(b"x", part.as_bytes());
    head
}

fn ask<'a>(questions: &'a Questions, head: &'a RequestHead, draws: &'a Draws) -> Answer<'a> {
    static CLIENT: LazyLock<Client> = LazyLock::new(Client::default);
    let subject = Subject {
        head,
        client: &CLIENT,
        tls: None,
        body: None,
    };
    questions.answer(0, subject, draws, &|_| true)
}

/// Measures one question.
#[divan::bench(args = CASES, sample_size = 1_000)]
fn match_one(bencher: Bencher<'_, '_>, case: Case100k) {
    let questions = case.questions(&case.entries());
    let part = |number: u32| (case.part)(spread(number) % ENTRIES);
    let heads: Vec<_> = (0..REQUESTS)
        .map(|number| head(case.over, &part(number)))
        .collect();
    let draws = Draws::default();
    let next = Cell::new(0);
    bencher.bench_local(|| {
        next.set((next.get() + 1) % heads.len());
        let answer = ask(&questions, &heads[next.get()], &draws);
        assert!(answer.number().is_some());
    });
}

/// Measures only the reading of the value. As in `match_one`, the heads are in no CPU cache.
#[divan::bench(args = ["header:x", "path"], sample_size = 1_000)]
fn read_one(bencher: Bencher<'_, '_>, over: &str) {
    let mut builder = builder();
    builder.value(over).unwrap();
    let questions = builder.build().unwrap();
    let part = |number: u32| host(spread(number) % ENTRIES);
    let heads: Vec<_> = (0..REQUESTS)
        .map(|number| head(over, &part(number)))
        .collect();
    let draws = Draws::default();
    let next = Cell::new(0);
    bencher.bench_local(|| {
        next.set((next.get() + 1) % heads.len());
        let answer = ask(&questions, &heads[next.get()], &draws);
        answer.value().map(<[u8]>::len)
    });
}

/// Measures the time that `configure` spends on one question; `max alloc` shows its peak memory.
#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn build(bencher: Bencher<'_, '_>, case: Case100k) {
    let entries = case.entries();
    bencher.bench_local(|| case.questions(&entries));
}

/// Allocates as many bytes as the matcher keeps, so that `alloc` shows them. The counter shows the
/// bytes of the entries' text.
#[divan::bench(args = CASES, sample_count = 1, sample_size = 1)]
fn memory(bencher: Bencher<'_, '_>, case: Case100k) {
    let entries = case.entries();
    let text: usize = entries.iter().map(String::len).sum();
    let questions = case.questions(&entries);
    assert!(
        questions.memory() <= 3 * text,
        "{} of {text}",
        questions.memory()
    );
    bencher
        .counter(BytesCount::new(text))
        .bench_local(|| vec![0_u8; questions.memory()]);
}

/// Matches 64 KiB values that are as slow to match as possible.
#[divan::bench(args = ["prefix", "suffix", "domain", "network", "regex"])]
fn hostile(bencher: Bencher<'_, '_>, kind: &str) {
    let mut builder = builder();
    let kind = match kind {
        "prefix" => MatchKind::Prefix,
        "suffix" => MatchKind::Suffix,
        "domain" => MatchKind::Domain,
        "network" => MatchKind::Network,
        _ => MatchKind::Regex,
    };
    let mut matcher = builder.matcher(kind, "header:x", Case::Sensitive);
    for number in 1..1_000 {
        match kind {
            MatchKind::Network => matcher.push(&network(number), number),
            MatchKind::Regex if number < 10 => {
                matcher.push(&format!("<{0}.*{0}>", word(number, 1)), number);
            }
            MatchKind::Regex => {}
            _ => matcher.push(&"a.".repeat(number as usize), number),
        }
    }
    matcher.finish().unwrap();
    let questions = builder.build().unwrap();
    let head = head("header:x", &"a.".repeat(32 * 1024));
    let draws = Draws::default();
    bencher.bench_local(|| ask(&questions, &head, &draws).number());
}

/// Computes a share over a cookie.
#[divan::bench]
fn share(bencher: Bencher<'_, '_>) {
    let mut builder = builder();
    builder.share("cookie:session", "canary", 50_000).unwrap();
    let questions = builder.build().unwrap();
    let mut head = head("path", "/");
    head.fields_mut().push(
        b"cookie",
        b"theme=dark; session=0123456789abcdef0123456789abcdef",
    );
    let draws = Draws::default();
    bencher.bench_local(|| ask(&questions, &head, &draws).number());
}

/// Reads a member of a 16 KiB body that is mostly text.
#[divan::bench]
fn body_json(bencher: Bencher<'_, '_>) {
    let mut builder = builder();
    builder.value("body-json:/model").unwrap();
    let questions = builder.build().unwrap();
    let text = "Tell me a story. ".repeat(900);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"m"}}"#);
    let head = head("path", "/");
    let client = Client::default();
    let draws = Draws::default();
    let subject = Subject {
        head: &head,
        client: &client,
        tls: None,
        body: Some(Body {
            bytes: body.as_bytes(),
            is_complete: true,
        }),
    };
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| questions.answer(0, subject, &draws, &|_| true).into_owned());
}

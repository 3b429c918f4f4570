//! Tests the answers to questions of every kind.

use std::cell::Cell;

use super::super::build::Builder;
use super::super::matcher::{Case, MatchKind};
use super::*;
use crate::config::TableValues;
use crate::http::head::Client;
use crate::http::message::{RequestHead, Version};

fn questions(define: impl FnOnce(&mut Builder)) -> Arc<Questions> {
    let entries = [("a", "blue"), ("b", "red")];
    let tables = Tables::from_entries([("tenants", TableValues::Any, entries)]).unwrap();
    let mut builder = Builder::new(1 << 20, Arc::new(tables), Box::new(|_| true));
    define(&mut builder);
    builder.build().unwrap()
}

fn head(lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/", Version::Http11);
    for (name, value) in lines {
        head.fields_mut().push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn answer(
    questions: &Questions,
    number: u32,
    head: &RequestHead,
    draws: &Draws,
) -> Answer<'static> {
    let subject = Subject {
        head,
        client: &Client::default(),
        tls: None,
        body: None,
    };
    questions
        .answer(number, subject, draws, &|name| name == "up")
        .into_owned()
}

#[test]
fn matches_over_several_lines() {
    let questions = questions(|builder| {
        for over in ["header:x", "values:x"] {
            let mut matcher = builder.matcher(MatchKind::Suffix, over, Case::Ignored);
            matcher.push("a", 7);
            matcher.push("ba", 0);
            matcher.finish().unwrap();
        }
    });
    for (lines, expected) in [
        (&[("x", "A")][..], [Some(7), Some(7)]),
        (&[("x", "a"), ("x", "xba")], [Some(0), Some(0)]),
        (&[("x", "ba, c")], [None, Some(0)]),
        (&[("y", "a")], [None, None]),
    ] {
        let head = head(lines);
        let found = [0, 1].map(|number| answer(&questions, number, &head, &Draws::default()));
        let found = found.map(|answer| answer.number());
        assert_eq!(found, expected, "{lines:?}");
    }
}

#[test]
fn shares_of_parts() {
    let questions = questions(|builder| {
        builder.share("cookie:s", "salt", 1_000_000).unwrap();
        builder.share("cookie:s", "salt", 0).unwrap();
        builder.share("header:x", "salt", 1_000_000).unwrap();
    });
    let draws = Draws::default();
    let with = head(&[("cookie", "s=1"), ("x", ""), ("x", "later")]);
    assert_eq!(answer(&questions, 0, &with, &draws), Answer::Number(1));
    assert_eq!(answer(&questions, 1, &with, &draws), Answer::None);
    // Only the first line of the field is used, and an empty part is in no share.
    assert_eq!(answer(&questions, 2, &with, &draws), Answer::None);
    for lines in [&[][..], &[("cookie", "s=")]] {
        assert_eq!(answer(&questions, 0, &head(lines), &draws), Answer::None);
    }
}

#[test]
fn shares_at_random() {
    let questions = questions(|builder| {
        builder.share("random", "one", 500_000).unwrap();
        builder.share("random", "one", 500_000).unwrap();
        builder.share("random", "two", 500_000).unwrap();
    });
    let head = head(&[]);
    let (mut in_share, mut differ) = (0, 0);
    for random in 0..1000 {
        let draws = Draws::with_random(random);
        let found = [0, 1, 2].map(|number| answer(&questions, number, &head, &draws));
        assert_eq!(found[0], found[1], "equal salts agree");
        assert_eq!(found[0], answer(&questions, 0, &head, &draws));
        in_share += u32::from(found[0] != Answer::None);
        differ += u32::from(found[0] != found[2]);
    }
    assert!((400..600).contains(&in_share), "{in_share}");
    assert!((400..600).contains(&differ), "{differ}");
}

#[test]
fn look_ups_and_values() {
    let questions = questions(|builder| {
        builder.look_up("tenants", "header:x").unwrap();
        builder.value("header:x").unwrap();
    });
    let value = |value: &'static str| Answer::Value(value.as_bytes().into());
    for (lines, looked_up, itself) in [
        (&[("x", "a")][..], value("blue"), value("a")),
        (&[("x", "")], Answer::None, value("")),
        (&[("x", "b"), ("x", "a")], value("red"), value("b")),
        (&[("x", "c"), ("x", "a")], Answer::None, value("c")),
        (&[], Answer::None, Answer::None),
    ] {
        let head = head(lines);
        let draws = Draws::default();
        assert_eq!(answer(&questions, 0, &head, &draws), looked_up, "{lines:?}");
        assert_eq!(answer(&questions, 1, &head, &draws), itself, "{lines:?}");
    }
}

#[test]
fn usability_is_asked_each_time() {
    let questions = questions(|builder| {
        builder.usable("up").unwrap();
        builder.usable("down").unwrap();
    });
    let head = head(&[]);
    let draws = Draws::default();
    assert_eq!(answer(&questions, 0, &head, &draws), Answer::Number(1));
    assert_eq!(answer(&questions, 1, &head, &draws), Answer::None);
    let asked = Cell::new(0);
    let subject = Subject {
        head: &head,
        client: &Client::default(),
        tls: None,
        body: None,
    };
    for expected in [Answer::None, Answer::Number(1)] {
        let usable = |_: &str| asked.replace(asked.get() + 1) == 1;
        assert_eq!(questions.answer(0, subject, &draws, &usable), expected);
    }
}

#[test]
fn kinds_and_descriptions() {
    let questions = questions(|builder| {
        let mut matcher = builder.matcher(MatchKind::PathPrefix, "path", Case::Sensitive);
        matcher.push("/", 1);
        matcher.finish().unwrap();
        let matcher = builder.matcher(MatchKind::Domain, "host", Case::Sensitive);
        matcher.finish().unwrap();
        builder.share("cookie:s", "salt", 5).unwrap();
        builder.share("random", "salt", 5).unwrap();
        builder.look_up("tenants", "query:q").unwrap();
        builder.value("body-json:/model").unwrap();
        builder.usable("up").unwrap();
    });
    for (number, kind, is_volatile, description) in [
        (
            0,
            Some(Kind::Number),
            false,
            "path-prefix over path, 1 entry",
        ),
        (1, Some(Kind::Number), false, "domain over host, 0 entries"),
        (
            2,
            Some(Kind::Number),
            false,
            "share of 5 per million over cookie:s",
        ),
        (
            3,
            Some(Kind::Number),
            false,
            "share of 5 per million at random",
        ),
        (
            4,
            Some(Kind::Value),
            false,
            "lookup of query:q in table \"tenants\"",
        ),
        (5, Some(Kind::Value), false, "value of body-json:/model"),
        (6, Some(Kind::Number), true, "usability of backend \"up\""),
        (7, None, false, "not defined"),
    ] {
        assert_eq!(questions.kind(number), kind, "{number}");
        assert_eq!(questions.is_volatile(number), is_volatile, "{number}");
        assert_eq!(questions.describe(number).to_string(), description);
    }
    assert_eq!(
        answer(&questions, 7, &head(&[]), &Draws::default()),
        Answer::None
    );
}

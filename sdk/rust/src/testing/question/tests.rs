//! Tests of every kind of matcher, and of the errors of definitions.

use super::*;
use crate::head::Head;

fn define(kind: Kind, over: &str, case: Case, entries: &[&str]) -> Result<Question, String> {
    let numbers = 1..;
    let entries: Vec<(String, u32)> = entries
        .iter()
        .map(|text| (*text).to_owned())
        .zip(numbers)
        .collect();
    Question::matcher(kind, over, case, &entries)
}

fn head(lines: &[(&str, &str)]) -> Head {
    let mut head = Head::new("GET", "/api/v1?q=1");
    let lines = lines.iter();
    head.headers = lines
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    head
}

#[test]
fn the_best_entry_of_each_kind_answers() {
    use Case::{Counts, Ignored};
    for (kind, case, value, entries, expected) in [
        (Kind::Exact, Counts, "a", &["b", "a"][..], Some(2)),
        (Kind::Exact, Counts, "A", &["a"], None),
        (Kind::Exact, Ignored, "A", &["a"], Some(1)),
        (Kind::Prefix, Counts, "abc", &["a", "ab", "b"], Some(2)),
        (
            Kind::PathPrefix,
            Counts,
            "/a/b",
            &["/", "/a/", "/a/bc"],
            Some(2),
        ),
        (Kind::PathPrefix, Counts, "/ab", &["/a"], None),
        (Kind::PathPrefix, Counts, "*", &["/"], None),
        (Kind::Suffix, Counts, "abc", &["c", "bc"], Some(2)),
        (
            Kind::FirstSuffix,
            Ignored,
            "aBC",
            &["x", "c", "bc"],
            Some(2),
        ),
        (
            Kind::Domain,
            Counts,
            "A.b.test.",
            &["test", "B.test", "c.test"],
            Some(2),
        ),
        (Kind::Domain, Counts, "ab.test", &["b.test"], None),
        (
            Kind::Network,
            Counts,
            "10.1.2.3",
            &["10.0.0.0/8", "10.1.0.0/16", "::/0"],
            Some(2),
        ),
        (
            Kind::Network,
            Counts,
            "no address",
            &["0.0.0.0/0", "::/0"],
            None,
        ),
        (Kind::Regex, Counts, "abc", &["^b", "c$", "a"], Some(2)),
    ] {
        let question = define(kind, "header:x-a", case, entries).unwrap();
        let answer = question.number(&head(&[("X-A", value)]), |_| false);
        assert_eq!(answer, expected, "{kind:?} {value}");
        assert_eq!(question.number(&head(&[]), |_| false), None, "{kind:?}");
    }
}

#[test]
fn of_several_lines_the_best_answers() {
    let lines = head(&[("x-a", "b, aa"), ("x-a", "aab , c")]);
    for (kind, over, entries, expected) in [
        (Kind::Exact, "values:x-a", &["c", "aa", "b"][..], Some(3)),
        (Kind::Exact, "header:x-a", &["aab , c", "b, aa"], Some(2)),
        (Kind::Exact, "header:x-a", &["c", "aa"], None),
        (Kind::Prefix, "values:x-a", &["b", "aab", "aa"], Some(2)),
        (Kind::FirstSuffix, "values:x-a", &["ab", "b"], Some(1)),
        (Kind::Regex, "header:x-a", &["^c", "^aab", "^b"], Some(2)),
    ] {
        let question = define(kind, over, Case::Counts, entries).unwrap();
        assert_eq!(
            question.number(&lines, |_| false),
            expected,
            "{kind:?} {over}"
        );
    }
}

#[test]
fn a_definition_without_sense_is_an_error() {
    for (kind, over, entries, expected) in [
        (
            Kind::Exact,
            "hosts",
            &["a"][..],
            "\"hosts\" is not a part of a request",
        ),
        (
            Kind::Exact,
            "host",
            &["a", "b", "a"],
            "entry 3 repeats entry 1, \"a\"",
        ),
        (
            Kind::PathPrefix,
            "path",
            &["/a", "/a/"],
            "entry 2 repeats entry 1, \"/a/\"",
        ),
        (
            Kind::Domain,
            "host",
            &["a", "A"],
            "entry 2 repeats entry 1, \"A\"",
        ),
        (
            Kind::Network,
            "client-address",
            &["::1", "::1/128"],
            "entry 2 repeats entry 1, \"::1/128\"",
        ),
        (
            Kind::Network,
            "client-address",
            &["::1", "a"],
            "entry 2, \"a\", is not a network (CIDR)",
        ),
        (
            Kind::Regex,
            "path",
            &["("],
            "entry 1, \"(\", is not a regular expression",
        ),
    ] {
        let error = define(kind, over, Case::Counts, entries).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
    let case_ignored = define(Kind::Exact, "host", Case::Ignored, &["a", "A"]).err();
    assert!(case_ignored.unwrap().contains("repeats"));
    assert!(Question::share("random", "", 1_000_001).is_err());
}

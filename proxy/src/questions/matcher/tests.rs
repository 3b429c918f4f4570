//! Test cases, and comparisons with linear searches.

use proptest::prelude::*;

use super::*;

fn matcher(kind: MatchKind, case: Case, entries: &[&str]) -> Result<Matcher, DefineError> {
    let mut collector = Collector::new(kind, case);
    for (entry, number) in entries.iter().zip(1..) {
        collector.push(entry, number)?;
    }
    collector.finish()
}

/// Returns the entry that the matcher finds.
fn find<'e>(matcher: &Matcher, entries: &[&'e str], part: &[u8]) -> Option<&'e str> {
    let number = matcher.find(part)?.number();
    Some(entries[usize::try_from(number).unwrap() - 1])
}

fn check(kind: MatchKind, case: Case, entries: &[&str], cases: &[(&str, Option<&str>)]) {
    let matcher = matcher(kind, case, entries).unwrap();
    for (part, expected) in cases {
        let found = find(&matcher, entries, part.as_bytes());
        assert_eq!(found, *expected, "{kind:?} {entries:?} {part:?}");
    }
}

#[test]
fn exact() {
    let entries = ["a", "ab", "abc", "B", ""];
    let cases = [
        ("a", Some("a")),
        ("ab", Some("ab")),
        ("abc", Some("abc")),
        ("abcd", None),
        ("B", Some("B")),
        ("b", None),
        ("", Some("")),
    ];
    check(MatchKind::Exact, Case::Sensitive, &entries, &cases);
    let entries = ["Abc", "\u{c4}"];
    let cases = [
        ("aBC", Some("Abc")),
        ("\u{e4}", None),
        ("\u{c4}", Some("\u{c4}")),
    ];
    check(MatchKind::Exact, Case::Ignored, &entries, &cases);
    check(
        MatchKind::Exact,
        Case::Sensitive,
        &[],
        &[("", None), ("a", None)],
    );
}

#[test]
fn prefixes() {
    let entries = ["/a", "/a/b", "/abc", "x"];
    let cases = [
        ("/a", Some("/a")),
        ("/a/", Some("/a")),
        ("/a/bc", Some("/a/b")),
        ("/abd", Some("/a")),
        ("/abcd", Some("/abc")),
        ("/", None),
        ("", None),
        ("xyz", Some("x")),
    ];
    check(MatchKind::Prefix, Case::Sensitive, &entries, &cases);
    check(
        MatchKind::Prefix,
        Case::Ignored,
        &["/A"],
        &[("/ab", Some("/A"))],
    );
    check(
        MatchKind::Prefix,
        Case::Sensitive,
        &[""],
        &[("", Some("")), ("x", Some(""))],
    );
}

#[test]
fn path_prefixes() {
    let entries = ["/a", "/a/b/", "/"];
    let cases = [
        ("/a", Some("/a")),
        ("/a/", Some("/a")),
        ("/a/c", Some("/a")),
        ("/ab", Some("/")),
        ("/a/b", Some("/a/b/")),
        ("/a/b/", Some("/a/b/")),
        ("/a/bc", Some("/a")),
        ("/", Some("/")),
        ("", Some("/")),
        ("*", None),
    ];
    check(MatchKind::PathPrefix, Case::Sensitive, &entries, &cases);
}

#[test]
fn suffixes() {
    let entries = ["test.tld", "io.test.tld", ".cdn"];
    let cases = [
        ("io.test.tld", Some("io.test.tld")),
        ("evilio.test.tld", Some("io.test.tld")),
        ("test.tld", Some("test.tld")),
        ("o.test.tld", Some("test.tld")),
        ("est.tld", None),
        ("test.tld.", None),
        ("IO.test.tld", Some("test.tld")),
        ("", None),
    ];
    check(MatchKind::Suffix, Case::Sensitive, &entries, &cases);
    let cases = [("IO.TEST.tld", Some("io.test.tld"))];
    check(MatchKind::Suffix, Case::Ignored, &entries, &cases);
}

#[test]
fn first_suffixes() {
    let entries = ["io.test.tld", "test.tld", "x.test.tld", "y.io.test.tld"];
    let cases = [
        ("io.test.tld", Some("io.test.tld")),
        ("y.io.test.tld", Some("io.test.tld")),
        ("x.test.tld", Some("test.tld")),
        ("tld", None),
    ];
    check(MatchKind::FirstSuffix, Case::Sensitive, &entries, &cases);
}

#[test]
fn domains() {
    let entries = ["test.tld", "IO.test.tld.", "tld2", "_dmarc.x"];
    let cases = [
        ("test.tld", Some("test.tld")),
        ("Test.TLD.", Some("test.tld")),
        ("a.b.test.tld", Some("test.tld")),
        ("eviltest.tld", None),
        ("io.test.tld", Some("IO.test.tld.")),
        ("a.io.test.tld", Some("IO.test.tld.")),
        ("evilio.test.tld", Some("test.tld")),
        (".test.tld", Some("test.tld")),
        ("test.tld..", None),
        ("test.tld:80", None),
        ("x.tld2", Some("tld2")),
        ("", None),
        (".", None),
    ];
    check(MatchKind::Domain, Case::Sensitive, &entries, &cases);
}

#[test]
fn networks() {
    let entries = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "192.0.2.0/24",
        "::ffff:198.51.100.0/120",
        "2001:db8::/32",
        "2001:db8::1/128",
    ];
    let cases = [
        ("10.1.2.3", Some("10.1.2.3")),
        ("10.1.2.4", Some("10.1.0.0/16")),
        ("10.2.0.0", Some("10.0.0.0/8")),
        ("10.255.255.255", Some("10.0.0.0/8")),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("::ffff:10.2.0.0", Some("10.0.0.0/8")),
        ("198.51.100.7", Some("::ffff:198.51.100.0/120")),
        ("2001:db8::1", Some("2001:db8::1/128")),
        ("2001:db8::2", Some("2001:db8::/32")),
        ("[2001:db8::2]", Some("2001:db8::/32")),
        ("[10.1.2.3]", None),
        ("2001:db9::", None),
        ("10.1.2.3:80", None),
        ("10.1.2", None),
        ("010.1.2.3", None),
        ("", None),
        ("x", None),
    ];
    check(MatchKind::Network, Case::Sensitive, &entries, &cases);
    let entries = ["0.0.0.0/0", "::/0"];
    let cases = [
        ("0.0.0.0", Some("0.0.0.0/0")),
        ("255.255.255.255", Some("0.0.0.0/0")),
        ("::", Some("::/0")),
        ("ffff::", Some("::/0")),
    ];
    check(MatchKind::Network, Case::Sensitive, &entries, &cases);
}

#[test]
fn regexes() {
    let entries = [
        r"^/api/v\d+/",
        "a.c",
        r"(?i)\bfoo\b",
        "^$",
        r"\xff[^a]$",
        "\u{e4}",
    ];
    let cases = [
        ("/api/v12/x", Some(r"^/api/v\d+/")),
        ("x/api/v1/abc", Some("a.c")),
        ("/api/v1/abc", Some(r"^/api/v\d+/")),
        ("a\nc", None),
        ("a FOO.", Some(r"(?i)\bfoo\b")),
        ("", Some("^$")),
        ("x\u{e4}", Some("\u{e4}")),
    ];
    check(MatchKind::Regex, Case::Sensitive, &entries, &cases);
    let matcher = matcher(MatchKind::Regex, Case::Sensitive, &entries).unwrap();
    assert_eq!(find(&matcher, &entries, b"\xff\xfe"), Some(entries[4]));
    check(
        MatchKind::Regex,
        Case::Sensitive,
        &[""],
        &[("", Some("")), ("x", Some(""))],
    );
    check(MatchKind::Regex, Case::Sensitive, &[], &[("", None)]);
}

#[test]
fn errors_name_the_entry() {
    let check = |kind, entries: &[&str], expected: &str| {
        let error = matcher(kind, Case::Ignored, entries).unwrap_err();
        assert_eq!(error.to_string(), expected, "{entries:?}");
    };
    let network = "is not a network (CIDR), as in 192.0.2.0/24";
    for text in [
        "a b/8",
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "::/129",
        "10.0.0/8",
        "::ffff:0.0.0.0/95",
    ] {
        let expected = format!("entry 2, {text:?}, {network}");
        check(MatchKind::Network, &["10.0.0.0/8", text], &expected);
    }
    check(
        MatchKind::Network,
        &["10.1.2.3/8"],
        "entry 1, \"10.1.2.3/8\", is not a network: it begins at 10.0.0.0/8",
    );
    check(
        MatchKind::Network,
        &["10.1.2.3", "::1", "::ffff:10.1.2.3", "::1"],
        "entry 3 repeats entry 1, \"10.1.2.3/32\"",
    );
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "*.a",
        "a b",
        "a:80",
        "[::1]",
        "\u{e4}.de",
    ] {
        let expected = format!("entry 1, {text:?}, is not a host name, as in example.com");
        check(MatchKind::Domain, &[text], &expected);
    }
    check(
        MatchKind::Domain,
        &["a.B", "A.b."],
        "entry 2 repeats entry 1, \"a.b\"",
    );
    check(
        MatchKind::FirstSuffix,
        &["a", "io.test.tld", "b", "c", "d", "e", "IO.test.tld", "a"],
        "entry 7 repeats entry 2, \"io.test.tld\"",
    );
    check(
        MatchKind::PathPrefix,
        &["/a", "/a/"],
        "entry 2 repeats entry 1, \"/a\"",
    );
    check(
        MatchKind::Exact,
        &["", "x", ""],
        "entry 3 repeats entry 1, \"\"",
    );
    check(
        MatchKind::Regex,
        &["a", "b", "a"],
        "entry 3 repeats entry 1, \"a\"",
    );
    check(
        MatchKind::Regex,
        &["a", "(b"],
        "entry 2, \"(b\", is not a regular expression: unclosed group",
    );
    check(
        MatchKind::Regex,
        &[r"\p{Greek}"],
        "entry 1, \"\\\\p{Greek}\", is not a regular expression: Unicode not allowed here",
    );
    check(
        MatchKind::Regex,
        &["a", "[ab]*a[ab]{20}"],
        "entry 2, \"[ab]*a[ab]{20}\", is too large: begin the expression with `^`, shorten it, \
         or use fewer repetitions",
    );
}

#[test]
fn expressions_that_are_too_large_together_are_split() {
    // Each additional expression doubles the number of states of an automaton that contains all of
    // them.
    let expressions: Vec<String> = (b'a'..=b'l')
        .map(|byte| format!("<{0}.*{0}>", char::from(byte)))
        .collect();
    let entries: Vec<&str> = expressions.iter().map(String::as_str).collect();
    let matcher = matcher(MatchKind::Regex, Case::Sensitive, &entries).unwrap();
    for (part, expected) in [
        ("<l l>", Some("<l.*l>")),
        ("<b <l l> <c c> b", Some("<c.*c>")),
        ("<b <l l> <c c> b>", Some("<b.*b>")),
        ("<b", None),
    ] {
        assert_eq!(
            find(&matcher, &entries, part.as_bytes()),
            expected,
            "{part}"
        );
    }
}

#[test]
fn of_several_matches_the_best_counts() {
    for (kind, entries, members, expected) in [
        (MatchKind::Exact, ["b", "a"], ["a", "b"], "a"),
        (MatchKind::Exact, ["bb", "a"], ["a", "bb"], "a"),
        (MatchKind::Exact, ["bb", "a"], ["bb", "a"], "bb"),
        (MatchKind::Prefix, ["a", "aa"], ["ax", "aax"], "aa"),
        (MatchKind::Suffix, ["aa", "a"], ["xa", "xaa"], "aa"),
        (MatchKind::FirstSuffix, ["a", "bb"], ["bb", "a"], "a"),
        (MatchKind::Regex, ["a", "b"], ["b", "a"], "a"),
        (
            MatchKind::Network,
            ["10.0.0.0/8", "10.1.0.0/16"],
            ["10.2.0.0", "10.1.0.0"],
            "10.1.0.0/16",
        ),
        (
            MatchKind::Network,
            ["0.0.0.0/1", "2000::/3"],
            ["2000::", "10.1.0.0"],
            "0.0.0.0/1",
        ),
    ] {
        let matcher = matcher(kind, Case::Sensitive, &entries).unwrap();
        let parts = members.iter().map(|member| matcher.find(member.as_bytes()));
        let best = parts.fold(None, Match::best).unwrap().number();
        assert_eq!(entries[best as usize - 1], expected, "{kind:?} {members:?}");
    }
}

#[test]
fn a_hundred_thousand_entries_take_three_times_their_text() {
    let check = |kind, entry: fn(u32) -> String| {
        let mut collector = Collector::new(kind, Case::Ignored);
        let mut text = 0;
        for number in 0..100_000 {
            let entry = entry(number);
            text += entry.len();
            collector.push(&entry, number).unwrap();
        }
        let memory = collector.finish().unwrap().memory();
        assert!(memory <= 3 * text, "{kind:?}: {memory} for {text}");
    };
    for kind in [MatchKind::Exact, MatchKind::Prefix, MatchKind::PathPrefix] {
        check(kind, |number| format!("/{number}"));
        check(kind, |number| format!("/{number:x}/{number:o}/{number}"));
    }
    for kind in [MatchKind::Suffix, MatchKind::FirstSuffix, MatchKind::Domain] {
        check(kind, |number| format!("{number:x}.example.com"));
    }
    check(MatchKind::Exact, |number| {
        format!("{:08x}", number.wrapping_mul(0x9e37_79b1))
    });
    check(MatchKind::Network, |number| {
        std::net::Ipv4Addr::from(number.wrapping_mul(0x9e37_79b1)).to_string()
    });
    check(MatchKind::Network, |number| {
        let bits = u128::from(number.wrapping_mul(0x9e37_79b1)) << 64;
        format!(
            "{}/64",
            std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | bits)
        )
    });
}

/// Finds the best entry by comparing every entry.
fn linear<'e>(kind: MatchKind, case: Case, entries: &[&'e str], part: &str) -> Option<&'e str> {
    let fold = |text: &str| match case {
        Case::Sensitive => text.to_owned(),
        Case::Ignored => text.to_ascii_lowercase(),
    };
    let part = fold(part);
    let host = part.strip_suffix('.').unwrap_or(&part).to_owned();
    let matches = |entry: &&&str| {
        let entry = fold(entry);
        let path = entry.strip_suffix('/').unwrap_or(&entry);
        let name = entry.strip_suffix('.').unwrap_or(&entry);
        match kind {
            MatchKind::Exact => part == entry,
            MatchKind::Prefix => part.starts_with(&entry),
            MatchKind::PathPrefix => {
                let rest = part.strip_prefix(path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            MatchKind::Suffix | MatchKind::FirstSuffix => part.ends_with(&entry),
            MatchKind::Domain => host == name || host.ends_with(&format!(".{name}")),
            MatchKind::Network | MatchKind::Regex => unreachable!("not of text"),
        }
    };
    let length = |entry: &&&str| match kind {
        MatchKind::PathPrefix => entry.strip_suffix('/').unwrap_or(entry).len(),
        MatchKind::Domain => entry.strip_suffix('.').unwrap_or(entry).len(),
        _ => entry.len(),
    };
    let mut matching = entries.iter().filter(matches);
    match kind {
        MatchKind::FirstSuffix => matching.next(),
        _ => matching.max_by_key(length),
    }
    .copied()
}

proptest! {
    #[test]
    fn text_is_found_as_by_a_linear_search(
        entries in prop::collection::vec("[abA/.]{0,6}", 0..12),
        parts in prop::collection::vec("[abA/.]{0,9}", 1..12),
    ) {
        for kind in [
            MatchKind::Exact, MatchKind::Prefix, MatchKind::PathPrefix, MatchKind::Suffix,
            MatchKind::FirstSuffix, MatchKind::Domain,
        ] {
            for case in [Case::Sensitive, Case::Ignored] {
                let case = if kind == MatchKind::Domain { Case::Ignored } else { case };
                let mut kept: Vec<&str> = Vec::new();
                for entry in &entries {
                    // Keep only the valid entries.
                    kept.push(entry);
                    if matcher(kind, case, &kept).is_err() {
                        kept.pop();
                    }
                }
                let matcher = matcher(kind, case, &kept).unwrap();
                for part in parts.iter().chain(&entries) {
                    let found = find(&matcher, &kept, part.as_bytes());
                    let expected = linear(kind, case, &kept, part);
                    prop_assert_eq!(found, expected, "{:?} {:?} {} in {:?}", kind, case, part, kept);
                }
            }
        }
    }

    #[test]
    fn networks_are_found_as_by_a_linear_search(
        seeds in prop::collection::vec((any::<bool>(), any::<u8>(), 0_u8..=32), 0..150),
        addresses in prop::collection::vec((any::<bool>(), any::<u8>()), 1..16),
    ) {
        // Vary only a few bits at either end, so that some networks contain others.
        let bits = |seed: u8| u32::from(seed & 0xf0) << 24 | u32::from(seed & 0xf);
        let v6 = |bits: u32| u128::from(bits >> 16) << 112 | u128::from(bits & 0xffff);
        let text = |(is_v4, seed, prefix): (bool, u8, u8)| if is_v4 {
            ipnet::Ipv4Net::new(bits(seed).into(), prefix).unwrap().trunc().to_string()
        } else {
            ipnet::Ipv6Net::new(v6(bits(seed)).into(), prefix * 4).unwrap().trunc().to_string()
        };
        let mut texts: Vec<String> = seeds.into_iter().map(text).collect();
        texts.sort();
        texts.dedup();
        let entries: Vec<&str> = texts.iter().map(String::as_str).collect();
        let matcher = matcher(MatchKind::Network, Case::Sensitive, &entries).unwrap();
        for (is_v4, seed) in addresses {
            let address: std::net::IpAddr = if is_v4 {
                std::net::Ipv4Addr::from(bits(seed)).into()
            } else {
                std::net::Ipv6Addr::from(v6(bits(seed))).into()
            };
            let nets = entries.iter().map(|text| (text, text.parse::<ipnet::IpNet>().unwrap()));
            let containing = nets.filter(|(_, net)| net.contains(&address));
            let smallest = containing.max_by_key(|(_, net)| net.prefix_len());
            let found = find(&matcher, &entries, address.to_string().as_bytes());
            prop_assert_eq!(found, smallest.map(|(text, _)| *text), "{} in {:?}", address, &entries);
        }
    }

    #[test]
    fn expressions_are_found_as_one_by_one(
        entries in prop::collection::btree_set(r"\^?([ab.]|[ab][*?]|a\{2\}|\(a\|b\)){1,4}\$?", 0..6),
        part in "[ab\n]{0,8}",
    ) {
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let matcher = matcher(MatchKind::Regex, Case::Sensitive, &entries).unwrap();
        let single = |entry: &&&str| {
            let matcher = self::matcher(MatchKind::Regex, Case::Sensitive, &[entry]).unwrap();
            matcher.find(part.as_bytes()).is_some()
        };
        let expected = entries.iter().find(single).copied();
        prop_assert_eq!(find(&matcher, &entries, part.as_bytes()), expected);
    }

    #[test]
    fn no_part_makes_a_panic(part in prop::collection::vec(any::<u8>(), 0..40)) {
        for (kind, entries) in [
            (MatchKind::Exact, ["a", "b"]),
            (MatchKind::PathPrefix, ["/", "/a"]),
            (MatchKind::Suffix, ["a", "\u{e4}"]),
            (MatchKind::Domain, ["a", "b.c"]),
            (MatchKind::Network, ["10.0.0.0/8", "::/0"]),
            (MatchKind::Regex, ["a", "\\xff."]),
        ] {
            let _ = matcher(kind, Case::Ignored, &entries).unwrap().find(&part);
        }
    }
}

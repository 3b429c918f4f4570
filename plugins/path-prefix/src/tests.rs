//! Native tests of the backends and targets of requests, and of the exact wording of configuration
//! errors. `cases.toml` runs against the component.

use pointsman_sdk::NoConfig;
use pointsman_sdk::testing::{Edit, Instance, RequestBuilder, edits};

use super::*;

/// Returns the backend and the target that a request is sent with.
fn route(rules: &str, target: &str) -> (String, String) {
    let config = format!(r#"{{"rules":[{rules}]}}"#);
    let router = Instance::<PathPrefix>::configure(&config, &["a", "b"]).unwrap();
    let request = RequestBuilder::get(target).build();
    let decision = match router.route(&request).unwrap() {
        Decision::Backend(name) => name,
        Decision::Next => "next".to_owned(),
        decision => panic!("{decision:?}"),
    };
    let target = match edits(&request).as_slice() {
        [] => target.to_owned(),
        [Edit::ReplacePathPrefix(length, text)] => {
            let rest = usize::try_from(*length).unwrap();
            let target = format!("{text}{}", &target[rest..]);
            // As in the proxy, a path begins with a slash.
            let slash = if target.starts_with('/') { "" } else { "/" };
            format!("{slash}{target}")
        }
        edits => panic!("{edits:?}"),
    };
    (decision, target)
}

fn check(rules: &str, cases: &[(&str, &str, &str)]) {
    for (target, backend, left) in cases {
        let expected = ((*backend).to_owned(), (*left).to_owned());
        assert_eq!(route(rules, target), expected, "{rules}: {target}");
    }
}

#[test]
fn whole_segments_are_replaced_as_in_the_gateway_api() {
    // The Gateway API's table of examples for ReplacePrefixMatch.
    for prefix in ["/foo", "/foo/"] {
        for (rewrite, bar, foo, slash) in [
            ("/xyz", "/xyz/bar", "/xyz", "/xyz/"),
            ("/xyz/", "/xyz/bar", "/xyz", "/xyz/"),
            ("/", "/bar", "/", "/"),
        ] {
            let rule = format!(r#"{{"prefix":"{prefix}","backend":"a","rewrite":"{rewrite}"}}"#);
            let cases = [
                ("/foo/bar", "a", bar),
                ("/foo", "a", foo),
                ("/foo/", "a", slash),
                ("/foobar", "next", "/foobar"),
            ];
            check(&rule, &cases);
        }
    }
}

#[test]
fn a_prefix_of_text_is_replaced_as_text() {
    let rule = r#"{"prefix":"/v1-","backend":"a","whole_segments":false,"rewrite":"/v2-"}"#;
    check(
        rule,
        &[
            ("/v1-a?b=/v1-", "a", "/v2-a?b=/v1-"),
            ("/v1", "next", "/v1"),
        ],
    );
    let rule = r#"{"prefix":"/a/","backend":"a","whole_segments":false,"strip":true}"#;
    check(
        rule,
        &[("/a/b", "a", "/b"), ("/a/", "a", "/"), ("/a", "next", "/a")],
    );
}

#[test]
fn whole_segments_win_over_the_same_text_in_either_order() {
    let segments = r#"{"prefix":"/a","backend":"a"}"#;
    let text = r#"{"prefix":"/a","backend":"b","whole_segments":false}"#;
    for rules in [format!("{segments},{text}"), format!("{text},{segments}")] {
        check(&rules, &[("/a/b", "a", "/a/b"), ("/ab", "b", "/ab")]);
    }
}

#[test]
fn rules_of_one_backend_share_a_decision() {
    let rule = |prefix| format!(r#"{{"prefix":"{prefix}","backend":"a"}}"#);
    let rules = ["/a", "/b/", "/ccc"].map(rule).join(",");
    let config = format!(r#"{{"rules":[{rules}]}}"#);
    let router = Instance::<PathPrefix>::configure(&config, &["a"]).unwrap();
    assert_eq!(router.router().segments.values().len(), 1);
}

#[test]
fn a_refused_entry_is_shown_at_its_rule() {
    struct Twice;

    impl Router for Twice {
        type Config = NoConfig;

        fn configure(_: NoConfig) -> Result<Self, Error> {
            let rule = Rule {
                backend: "a".to_owned(),
                length: 2,
                replacement: None,
            };
            let rules = [3, 812].map(|place| (place, "/a".to_owned(), rule.clone()));
            define(questions::prefix("path"), rules.to_vec())?;
            Ok(Self)
        }

        fn route(&self, _: &Request) -> Result<Decision, Error> {
            Ok(Decision::Next)
        }
    }

    let error = Instance::<Twice>::configure("{}", &[]).err();
    let expected = r#"rules[812].prefix: entry 2 repeats entry 1, "/a""#;
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (rules, expected) in [
        (
            r#"{"prefix":"","backend":"a"}"#,
            "rules[0].prefix: must begin with `/`",
        ),
        (
            r#"{"prefix":"/a b","backend":"a"}"#,
            "rules[0].prefix: must be an encoded path: no query, no blanks, other characters as %XX",
        ),
        (
            r#"{"prefix":"/a","backend":"a"},{"prefix":"/b","backend":"c"}"#,
            r#"rules[1].backend: there is no backend "c""#,
        ),
        (
            r#"{"prefix":"/","backend":"a"},{"prefix":"/b","backend":"a"},{"prefix":"/","backend":"b"}"#,
            r#"rules[2].prefix: "/" is already the prefix of rules[0]"#,
        ),
        (
            r#"{"prefix":"/a","backend":"a","strip":true,"rewrite":"/b"}"#,
            "rules[0].strip: `strip` rewrites the prefix to \"/\": leave out `strip` or `rewrite`",
        ),
        (
            r#"{"prefix":"/a","backend":"a","strip":"yes"}"#,
            "rules[0].strip: invalid type: string \"yes\", expected a boolean",
        ),
        (r#"{"prefix":"/a"}"#, "rules[0]: missing field `backend`"),
    ] {
        let config = format!(r#"{{"rules":[{rules}]}}"#);
        let error = Instance::<PathPrefix>::configure(&config, &["a", "b"]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

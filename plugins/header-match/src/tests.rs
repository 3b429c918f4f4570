//! Tests of the reads, and of the exact wording of configuration errors. The decisions of
//! header-match are tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};
use proptest::prelude::*;

use super::*;

fn router(rules: &str) -> Result<Instance<HeaderMatch>, String> {
    Instance::configure(&format!(r#"{{"rules":[{rules}]}}"#), &["a", "b"])
}

#[test]
fn conditions_share_questions() {
    for (part, expected) in [
        // A part with a single value needs one question, which finds the best match of all strings.
        (r#""path":{"prefix":"/VALUE"}"#, 1),
        (r#""cookie":{"a":{"exact":"VALUE"}}"#, 1),
        (r#""method":"VALUE""#, 1),
        // For the lines of a field, each string has its own question.
        (r#""header":{"X-A":{"exact":"VALUE"}}"#, 3),
        (r#""query":{"q":{"regex":"VALUE"}}"#, 3),
    ] {
        let rules = ["1", "2", "3", "2"].map(|value| {
            let part = part.replace("VALUE", value);
            format!(r#"{{{part},"backend":"a"}}"#)
        });
        let router = router(&rules.join(",")).unwrap();
        assert_eq!(router.router().questions.len(), expected, "{part}");
    }
}

#[test]
fn more_questions_than_there_can_be_are_refused() {
    let rules = |count: usize| {
        let rule = |number| format!(r#"{{"header":{{"a":{{"exact":"{number}"}}}},"backend":"a"}}"#);
        (0..count).map(rule).collect::<Vec<_>>().join(",")
    };
    assert!(router(&rules(1024)).is_ok());
    let error = router(&rules(1025)).err().unwrap();
    let expected = "rules[1024].header.a.exact: needs more than 1024 questions";
    assert_eq!(error, expected);
}

#[test]
fn conditions_must_all_hold() {
    let router = router(
        r#"{"method":"GET","path":{"suffix":".png"},"header":{"accept":{"contains":"image"}},
            "cookie":{"s":{"present":true}},"query":{"q":{"regex":"^[0-9]+$"}},"backend":"a"},
           {"method":["PUT"],"backend":"b"}"#,
    )
    .unwrap();
    let parts = [
        ("GET", "/a.png?q=12", "image/png", "s=1", Some("a")),
        ("HEAD", "/a.png?q=12", "image/png", "s=1", None),
        ("PUT", "/a.png?q=12", "image/png", "s=1", Some("b")),
        ("GET", "/a.gif?q=12", "image/png", "s=1", None),
        ("GET", "/a.png?q=x", "image/png", "s=1", None),
        ("GET", "/a.png", "image/png", "s=1", None),
        ("GET", "/a.png?q=12", "text/html", "s=1", None),
        ("GET", "/a.png?q=12", "image/png", "t=1", None),
    ];
    for (method, target, accept, cookie, backend) in parts {
        let request = RequestBuilder::new(method, target)
            .header("accept", accept)
            .header("cookie", cookie)
            .build();
        let expected = backend.map_or(Decision::Next, Decision::backend);
        assert_eq!(router.route(&request), Ok(expected), "{method} {target}");
    }
}

#[test]
fn contains_matches_every_character_literally() {
    let punctuation = (b'!'..=b'~').filter(u8::is_ascii_punctuation);
    let punctuation: Vec<String> = punctuation.map(|octet| char::from(octet).into()).collect();
    let all = punctuation.concat();
    let texts = punctuation.iter().map(String::as_str);
    let texts: Vec<&str> = texts.chain([&*all, "<script>", "a b"]).collect();
    let values = texts
        .iter()
        .copied()
        .chain(["", "script", "a", "a.b", "-a-"]);
    let values: Vec<&str> = values.collect();
    for text in &texts {
        for ignore_case in [false, true] {
            let quoted = text.replace('\\', r"\\").replace('"', r#"\""#);
            let router = router(&format!(
                r#"{{"header":{{"x-a":{{"contains":"{quoted}","ignore_case":{ignore_case}}}}},
                    "backend":"a"}}"#
            ))
            .unwrap();
            for value in &values {
                let request = RequestBuilder::get("/").header("x-a", value).build();
                let expected = if value.contains(text) {
                    Decision::backend("a")
                } else {
                    Decision::Next
                };
                assert_eq!(router.route(&request), Ok(expected), "{text} in {value}");
            }
        }
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (rules, expected) in [
        (
            r#"{"backend":"a"}"#,
            "rules[0]: a rule without a condition matches every request; for requests that no \
             other rule matches, set the frontend's `default_backend`",
        ),
        (
            r#"{"method":"GET"}"#,
            "rules[0]: give one of `backend`, `respond` and `redirect`",
        ),
        (
            r#"{"method":5,"backend":"a"}"#,
            "rules[0].method: invalid type: integer `5`, expected a method or a list of methods",
        ),
        (
            r#"{"method":["GET",5],"backend":"a"}"#,
            "rules[0].method[1]: invalid type: integer `5`, expected a string",
        ),
        (
            r#"{"path":{"exact":"/"},"backend":"a"},{"path":{"exact":"/"},"backend":"c"}"#,
            r#"rules[1].backend: there is no backend "c""#,
        ),
        (
            r#"{"header":{"x-a":{"exact":"a","prefix":"b"}},"backend":"a"}"#,
            "rules[0].header.x-a: give one of `exact`, `prefix`, `suffix`, `contains`, `regex` and \
             `present`",
        ),
        (
            r#"{"cookie":{"a":{"present":true,"exact":"b"}},"backend":"a"}"#,
            "rules[0].cookie.a: give one of `exact`, `prefix`, `suffix`, `contains`, `regex` and \
             `present`",
        ),
        (
            r#"{"query":{"q":{"regex":"("}},"backend":"a"}"#,
            r#"rules[0].query.q.regex: entry 1, "(", is not a regular expression"#,
        ),
        (
            r#"{"method":"GET","respond":{"status":200,"headers":{"Content-Length":"1"}}}"#,
            "rules[0].respond.headers.Content-Length: only the proxy may set this field",
        ),
        (
            r#"{"method":"GET","respond":{"status":200,"headers":{"a":"b\r\nc: d"}}}"#,
            "rules[0].respond.headers.a: must be one line, and not empty",
        ),
        (
            r#"{"method":"GET","redirect":{"status":304,"location":"/"}}"#,
            "rules[0].redirect.status: must be 301, 302, 303, 307 or 308",
        ),
        (
            r#"{"method":"GET","redirect":{"status":301}}"#,
            "rules[0].redirect: missing field `location`",
        ),
    ] {
        assert_eq!(router(rules).err().as_deref(), Some(expected));
    }
}

proptest! {
    /// Every request gets a decision.
    #[test]
    fn any_octets_get_a_decision(
        target in "/[ -~]{0,20}",
        value in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let router = router(
            r#"{"header":{"x-a":{"suffix":"b","ignore_case":true}},"backend":"a"},
               {"header":{"x-a":{"contains":"cd"}},"cookie":{"x":{"present":false}},"backend":"b"},
               {"header":{"x-a":{"regex":"[^a]$"}},"query":{"q":{"prefix":"a"}},"backend":"b"}"#,
        )
        .unwrap();
        let request = RequestBuilder::get(&target)
            .header("x-a", &value)
            .header("cookie", &value)
            .build();
        prop_assert!(router.route(&request).is_ok());
    }
}

//! Tests of the exact wording of configuration errors, and a comparison of questions with the rules
//! that they replace. The decisions of host-suffix are tested by `cases.toml`, which runs against
//! the component.

use pointsman_sdk::Decision;
use pointsman_sdk::testing::{Instance, RequestBuilder};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Config, HostSuffix, field};

#[test]
fn a_connection_without_http_is_routed_by_its_server_name() {
    let rules = r#"{"rules":[{"suffix":"io.test","backend":"b"}]}"#;
    let router = Instance::<HostSuffix>::configure(rules, &["b"]).unwrap();
    let request = |name| RequestBuilder::tcp().server_name(name).build();
    assert_eq!(
        router.route(&request("a.io.test")),
        Ok(Decision::backend("b"))
    );
    assert_eq!(router.route(&request("io.tests")), Ok(Decision::Next));
    // With HTTP, the port is part of the comparison.
    let request = RequestBuilder::get("/")
        .header("host", "io.test:80")
        .build();
    assert_eq!(router.route(&request), Ok(Decision::Next));
}

fn rule() -> impl Strategy<Value = Value> {
    let suffix = prop_oneof![
        "[aB.]{1,3}",
        "[aB]{0,2}:[01]{0,1}",
        Just("::1]".to_owned()),
        Just("[::1]".to_owned())
    ];
    let suffixes = proptest::collection::vec(suffix, 1..3);
    let parts = (
        suffixes,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        "[pqr]",
    );
    parts.prop_map(|(suffix, ignore_port, label_boundary, is_host, backend)| {
        let header = if is_host { "Host" } else { "x-a" };
        json!({
            "header": header, "suffix": suffix, "backend": backend,
            "ignore_port": ignore_port, "label_boundary": label_boundary,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Questions choose the same backend as a comparison of each rule with the fields.
    #[test]
    fn questions_decide_as_a_comparison_of_each_rule(
        rules in proptest::collection::vec(rule(), 0..6),
        host in r"([Ab.]{0,5}|\[::1\])(:[01]{0,2})?",
        lines in proptest::collection::vec(r#"[Ab.:," \[\]]{0,8}"#, 0..3),
    ) {
        let config = json!({ "rules": rules });
        let router = Instance::<HostSuffix>::configure(&config.to_string(), &["p", "q", "r"]);
        let router = router.unwrap();
        let mut request = RequestBuilder::get("/").header("host", &host);
        for line in &lines {
            request = request.header("x-a", line);
        }
        let request = request.build();
        let config: Config = serde_json::from_value(config).unwrap();
        let rules = config.checked().unwrap();
        let first = rules
            .iter()
            .find(|rule| field::matches(rule, &request.header_lines(&rule.header)));
        let expected = first.map_or(Decision::Next, |rule| Decision::backend(&rule.backend));
        prop_assert_eq!(router.route(&request), Ok(expected));
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (rules, expected) in [
        (
            r#"{"rules":[{"suffix":"a","backend":"b"},{"suffix":"a","backend":"c"}]}"#,
            r#"rules[1].backend: there is no backend "c""#,
        ),
        (
            r#"{"rules":[{"suffix":5,"backend":"b"}]}"#,
            "rules[0].suffix: invalid type: integer `5`, expected a text or a list of texts",
        ),
        (
            r#"{"rules":[{"suffix":["a",5],"backend":"b"}]}"#,
            "rules[0].suffix[1]: invalid type: integer `5`, expected a string",
        ),
        (
            r#"{"rules":[{"suffix":[],"backend":"b"}]}"#,
            "rules[0].suffix: an empty list matches no request",
        ),
        (
            r#"{"rules":[{"suffix":"","backend":"b"}]}"#,
            "rules[0].suffix: an empty suffix matches every value; for requests that no \
             other rule matches, set the frontend's `default_backend`",
        ),
        (
            r#"{"rules":[{"suffix":["a",""],"backend":"b"}]}"#,
            "rules[0].suffix[1]: an empty suffix matches every value; for requests that no \
             other rule matches, set the frontend's `default_backend`",
        ),
        (
            r#"{"rules":[{"suffix":"a","backend":"b","header":"x tenant"}]}"#,
            r#"rules[0].header: "x tenant" is not the name of a header field"#,
        ),
        (
            r#"{"rules":[{"sufix":"a","backend":"b"}]}"#,
            "rules[0].sufix: unknown field `sufix`, expected one of `header`, `suffix`, \
             `backend`, `ignore_port`, `label_boundary`",
        ),
        (
            r#"{"rules":[{"suffix":"a"}]}"#,
            "rules[0]: missing field `backend`",
        ),
        ("{}", "missing field `rules`"),
    ] {
        let error = Instance::<HostSuffix>::configure(rules, &["b"]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

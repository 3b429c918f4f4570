//! The errors of a configuration, word for word. What it decides is in `cases.toml`, which is
//! played against the component.

use pointsman_sdk::testing::Instance;

use super::HostSuffix;

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
            "rules[0].suffix: an empty suffix matches every value; for the requests that no \
             other rule matches there is the frontend's `default_backend`",
        ),
        (
            r#"{"rules":[{"suffix":["a",""],"backend":"b"}]}"#,
            "rules[0].suffix[1]: an empty suffix matches every value; for the requests that no \
             other rule matches there is the frontend's `default_backend`",
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

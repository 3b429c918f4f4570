//! The table of `cases.toml`, and the errors of a configuration.

use pointsman_sdk::testing::{Instance, RequestBuilder};
use pointsman_sdk::{Decision, Request};
use serde::Deserialize;

use super::HostSuffix;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    backends: Vec<String>,
    config: toml::Value,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<toml::Value>,
    method: Option<String>,
    target: Option<String>,
    #[serde(default)]
    headers: Vec<(String, FieldValue)>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FieldValue {
    Text(String),
    Octets(Vec<u8>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Expect {
    Backend(String),
    Default(bool),
    Respond(u16),
}

impl Case {
    fn request(&self) -> Request {
        let method = self.method.as_deref().unwrap_or("GET");
        let target = self.target.as_deref().unwrap_or("/");
        let mut request = RequestBuilder::new(method, target);
        for (name, value) in &self.headers {
            request = request.header(
                name,
                match value {
                    FieldValue::Text(text) => text.as_bytes(),
                    FieldValue::Octets(octets) => octets,
                },
            );
        }
        request.build()
    }
}

#[test]
fn every_case_goes_where_its_table_says() {
    let table: Table = toml::from_str(include_str!("../cases.toml")).unwrap();
    let backends: Vec<_> = table.backends.iter().map(String::as_str).collect();
    for case in &table.case {
        let config = case.config.as_ref().unwrap_or(&table.config);
        let config = serde_json::to_string(config).unwrap();
        let router = Instance::<HostSuffix>::configure(&config, &backends).unwrap();
        let decision = router.route(&case.request()).unwrap();
        let right = match (&case.expect, &decision) {
            (Expect::Backend(name), Decision::Backend(chosen)) => name == chosen,
            (Expect::Default(expected), _) => *expected == (decision == Decision::DefaultBackend),
            (Expect::Respond(status), Decision::Respond(response)) => *status == response.status(),
            _ => false,
        };
        assert!(right, "{}: {decision:?}", case.name);
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

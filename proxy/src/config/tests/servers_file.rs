//! Tests of servers files, in both formats.

use std::path::Path;

use proptest::prelude::*;

use crate::config::{Server, ServerState, servers_file};

fn servers(name: &str, text: &str) -> Vec<Server> {
    servers_file(&Path::new("etc").join(name), text.to_owned()).unwrap()
}

/// Parses an invalid servers file and returns its errors as text.
fn refused(name: &str, text: &str) -> String {
    let errors = servers_file(Path::new(name), text.to_owned()).unwrap_err();
    errors.to_string()
}

#[test]
fn both_forms_have_the_same_servers() {
    let toml = r#"
[server]
b = "10.0.0.1:8080"
a = { address = "10.0.0.2:8080", weight = 2, state = "drain" }
c.address = "/run/c.sock"
c.protocol = "h2c"
t = { address = "t.sock:443", tls = { ca = "ca.pem", server_name = "e.test" } }
"#;
    let json = r#"{ "server": {
        "b": "10.0.0.1:8080",
        "a": {"address":"10.0.0.2:8080" ,"weight":2,"state":"drain"},
        "c": {"address": "\/run\/c.sock", "protocol": "h2c"},
        "t": {"address": "t.sock:443", "tls": {"ca": "ca.pem", "server_name": "\u0065.test"}}
    } }"#;
    let from_json = servers("s.json", json);
    assert_eq!(servers("s.toml", toml), from_json);
    let names: Vec<_> = from_json.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c", "t"]);
    assert_eq!(
        (from_json[1].weight, from_json[1].state),
        (2, ServerState::Drain)
    );
    let tls = from_json[3].tls.as_ref().unwrap();
    assert_eq!(tls.ca.as_deref(), Some(Path::new("etc/ca.pem")));
}

#[test]
fn a_servers_file_may_be_empty() {
    assert!(servers("s.json", r#"{"server": {}}"#).is_empty());
    assert!(servers("s.toml", "[server]").is_empty());
}

#[test]
fn mistakes_are_reported_at_their_position() {
    let check = |text: &str, expected: &[&str]| {
        let errors = refused("s.json", text);
        for expected in expected {
            assert!(errors.contains(expected), "{text}: {errors}");
        }
    };
    check("{}", &["the file has no `server`", "s.json:1:1"]);
    check(
        "{\"server\": {\n  \"a\": \"localhost\"\n}}",
        &["`server.a` is not an address", "s.json:2:8", "no port"],
    );
    check(
        r#"{"server": {"a": {"address": "a:1", "weight": 300}}}"#,
        &[
            "`server.a.weight` is out of range",
            "s.json:1:47",
            "0 to 256",
        ],
    );
    check(
        r#"{"server": {"a": {"address": "a:1", "weight": 1.5}}}"#,
        &["`server.a.weight` must be a whole number, not a fraction"],
    );
    check(
        r#"{"server": {"a": {"address": "a:1", "wieght": 1}}}"#,
        &[
            "unknown key `wieght` in `server.a`",
            "did you mean `weight`?",
        ],
    );
    check(
        r#"{"server": {"a": {"address": "a:1", "inter": 1}}, "b": "b:1"}"#,
        &["write `check.interval` in the backend", "unknown key `b`"],
    );
    check(
        r#"{"server": {"a": null}}"#,
        &["`server.a` is null", "s.json:1:18", "leave it out"],
    );
    check(
        r#"{"server": {"a": "a:1", "\u0061": "b:1"}}"#,
        &["duplicate key `a`", "s.json:1:25"],
    );
    check(
        r#"{"server": {}, "server": {}}"#,
        &["duplicate key `server`"],
    );
    check(
        r#"{"server": ["a:1"]}"#,
        &["`server` must be a table, not an array"],
    );
    check("[]", &["the file is not an object"]);
    check("", &["the file is not JSON"]);
    check("\u{feff}{}", &["the file is not JSON"]);
    check(
        "{\"server\": {\n\"a\": \"a:1\",\n}}",
        &["the file is not JSON", "trailing comma", "s.json:3:1"],
    );
    check(r#"{"server": {'a': 1}}"#, &["the file is not JSON"]);
    check(&"[".repeat(100_000), &["the file is not JSON", "recursion"]);
    let toml = refused("s.toml", "server.a = \"localhost\"\nserver.a = \"b:1\"");
    assert!(toml.contains("duplicate key `a`") && toml.contains("s.toml:2"));
}

/// Parses `text` in both formats; neither may panic.
fn survive(text: &str) {
    for name in ["s.json", "s.toml"] {
        if let Err(errors) = servers_file(Path::new(name), text.to_owned()) {
            assert!(!errors.to_string().is_empty());
        }
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn no_text_like_json_causes_a_panic(
        text in r#"\{"server": ?([a-c\[\]{}":,\\ \n0-9é.\-]|"a"|"a:1"|null|true|1e5|\\u0061|\\ud800){0,40}\}"#,
    ) {
        survive(&text);
    }

    /// Any JSON under every key.
    #[test]
    fn no_json_causes_a_panic(value in json()) {
        survive(&format!("{{\"server\": {value}}}"));
        survive(&format!("{{\"server\": {{\"a\": {value}}}}}"));
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinity", |f| f.is_finite())
            .prop_map(|f| format!("{f:e}")),
        any::<String>().prop_map(|s| serde_json::Value::String(s).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![Just("address".to_owned()), "[a-c]"];
        let member = (key, inner.clone()).prop_map(|(k, v)| format!("\"{k}\": {v}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(" , "))),
            prop::collection::vec(member, 0..4).prop_map(|v| format!("{{{}}}", v.join(","))),
        ]
    })
}

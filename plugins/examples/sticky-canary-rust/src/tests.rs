//! Tests of which sessions are in the share, and of the decision for each.

use pointsman_sdk::testing::{Instance, Options, RequestBuilder, options};

use super::*;

fn tag(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

#[test]
fn a_session_stays_with_its_server() {
    let config = r#"{"backend": "canary", "percent": 5}"#;
    let router = Instance::<StickyCanary>::configure(config, &["canary"]).unwrap();
    let request = || RequestBuilder::get("/").header("cookie", "session=a");
    for (request, decision, affinity, tags) in [
        (
            request().in_share("canary"),
            Decision::backend("canary"),
            Some(b"a".to_vec()),
            vec![tag("session", "a"), tag("canary", "true")],
        ),
        (
            request(),
            Decision::Next,
            Some(b"a".to_vec()),
            vec![tag("session", "a")],
        ),
        (
            RequestBuilder::get("/").in_share("canary"),
            Decision::Next,
            None,
            vec![],
        ),
    ] {
        let request = request.build();
        assert_eq!(router.route(&request), Ok(decision));
        let expected = Options {
            affinity,
            tags,
            ..Options::default()
        };
        assert_eq!(options(&request), expected);
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (config, expected) in [
        (
            r#"{"backend": "b", "percent": 5}"#,
            "backend: there is no backend \"b\"",
        ),
        (
            r#"{"backend": "canary", "percent": 101}"#,
            "1010000 per million",
        ),
        (
            r#"{"backend": "canary", "percent": 5, "cookie": ""}"#,
            "cookie: ",
        ),
        (
            r#"{"backend": "canary", "percnt": 5}"#,
            "missing field `percent`",
        ),
    ] {
        let error = Instance::<StickyCanary>::configure(config, &["canary"])
            .err()
            .unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}

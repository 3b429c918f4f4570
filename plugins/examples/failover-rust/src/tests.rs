//! Tests of which backend receives a request, by attempt and health.

use pointsman_sdk::backends::State;
use pointsman_sdk::testing::{Instance, RequestBuilder, options};

use super::*;

#[test]
fn the_second_backend_takes_over() {
    let config = r#"{"primary": "here", "secondary": "elsewhere"}"#;
    let router = Instance::<Failover>::configure(config, &["here", "elsewhere"]).unwrap();
    let usable = |usable_servers| State {
        usable_servers,
        ..State::default()
    };
    for (servers, attempt, expected) in [
        (1, 0, "here"),
        (1, 1, "elsewhere"),
        (0, 0, "elsewhere"),
        (2, 0, "here"),
    ] {
        router.set_backend("here", usable(servers));
        let request = RequestBuilder::get("/").attempt(attempt).build();
        assert_eq!(router.route(&request), Ok(Decision::backend(expected)));
        assert_eq!(options(&request).tags.is_empty(), expected == "here");
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (config, expected) in [
        (
            r#"{"primary": "b", "secondary": "here"}"#,
            "primary: there is no backend \"b\"",
        ),
        (
            r#"{"primary": "here", "secondary": "b"}"#,
            "secondary: there is no backend \"b\"",
        ),
        (r#"{"primary": "here"}"#, "missing field `secondary`"),
    ] {
        let error = Instance::<Failover>::configure(config, &["here"]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

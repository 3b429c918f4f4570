//! Tests of requests in the share, and of the exact wording of configuration errors. The decisions
//! of canary are tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder, ResponseEdit, response_edits};
use proptest::prelude::*;

use super::*;

fn canary(options: &str) -> Instance<Canary> {
    let config = format!(r#"{{"backend":"b",{options}}}"#);
    Instance::configure(&config, &["b"]).unwrap()
}

/// Reports whether a request is sent to the canary, and returns the cookie that it sets.
fn route(router: &Instance<Canary>, request: RequestBuilder) -> (bool, Option<String>) {
    let request = request.build();
    let is_chosen = match router.route(&request).unwrap() {
        Decision::Backend(_) => true,
        Decision::Next => false,
        decision => panic!("{decision:?}"),
    };
    let cookie = match response_edits(&request).as_slice() {
        [] => None,
        [ResponseEdit::AppendHeader(name, value)] if name == "set-cookie" => {
            Some(String::from_utf8(value.clone()).unwrap())
        }
        edits => panic!("{edits:?}"),
    };
    (is_chosen, cookie)
}

#[test]
fn a_connection_without_http_gets_no_cookie() {
    let router = canary(r#""percent":100,"sticky":{"cookie":"next"}"#);
    let request = RequestBuilder::tcp().server_name("a.test");
    assert_eq!(route(&router, request), (true, None));
    let (is_chosen, cookie) = route(&router, RequestBuilder::get("/"));
    assert!(is_chosen && cookie.is_some());
}

#[test]
fn a_share_is_computed_from_the_configured_key() {
    for (options, field, value) in [
        (r#""percent":5,"salt":"s""#, "x-other", "1"),
        (
            r#""percent":5,"salt":"s","by":{"cookie":"id"}"#,
            "cookie",
            "id=1",
        ),
        (
            r#""percent":5,"salt":"s","by":{"header":"X-User"}"#,
            "x-user",
            "1",
        ),
    ] {
        let router = canary(options);
        let request = || RequestBuilder::get("/").header(field, value);
        assert_eq!(route(&router, request()), (false, None), "{options}");
        let chosen = route(&router, request().in_share("s"));
        assert_eq!(chosen, (true, None), "{options}");
    }
    // The request is in a share with another salt, or lacks the part that distinguishes clients.
    let router = canary(r#""percent":5,"salt":"s","by":{"cookie":"id"}"#);
    let request = RequestBuilder::get("/").header("cookie", "id=1");
    assert_eq!(route(&router, request.in_share("t")), (false, None));
    let request = RequestBuilder::get("/").in_share("s");
    assert_eq!(route(&router, request), (false, None));
}

#[test]
fn a_cookie_keeps_clients() {
    let request = || RequestBuilder::get("/");
    let router = canary(r#""percent":5,"sticky":{"cookie":"c"}"#);
    let cookie = "c=1; Path=/; HttpOnly; SameSite=Lax".to_owned();
    assert_eq!(route(&router, request()), (false, None));
    assert_eq!(route(&router, request().in_share("")), (true, Some(cookie)));
    let kept = request().header("cookie", "c=1");
    assert_eq!(route(&router, kept.in_share("")), (true, None));
    let kept = request().header("cookie", "c=1");
    assert_eq!(route(&router, kept), (true, None));
    let other = request().header("cookie", "c=0");
    assert_eq!(route(&router, other), (false, None));

    let options = r#""percent":5,"salt":"v2","sticky":{"cookie":"c","max_age":60,"secure":true}"#;
    let cookie = "c=v2; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure".to_owned();
    let router = canary(options);
    assert_eq!(
        route(&router, request().in_share("v2")),
        (true, Some(cookie))
    );
    // The cookie is from the previous canary.
    let old = request().header("cookie", "c=1");
    assert_eq!(route(&router, old), (false, None));

    let router = canary(r#""percent":0,"sticky":{"cookie":"c"}"#);
    let kept = request().header("cookie", "c=1");
    assert_eq!(route(&router, kept), (false, None));
}

#[test]
fn percents_are_parts_of_a_million() {
    for (percent, expected) in [
        (0.0, 0),
        (0.0001, 1),
        (0.000_04, 0),
        (33.3, 333_000),
        (100.0, 1_000_000),
    ] {
        assert_eq!(per_million(percent), Ok(expected));
    }
    for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert!(per_million(percent).is_err(), "{percent}");
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (r#""percent":5"#, "missing field `backend`"),
        (r#""backend":"b""#, "missing field `percent`"),
        (
            r#""backend":"c","percent":5"#,
            r#"backend: there is no backend "c""#,
        ),
        (
            r#""backend":"b","percent":100.1"#,
            "percent: must be between 0 and 100",
        ),
        (
            r#""backend":"b","percent":"5%""#,
            r#"percent: invalid type: string "5%", expected f64"#,
        ),
        (
            r#""backend":"b","percent":5,"by":"cookie""#,
            r#"by: invalid value: string "cookie", expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":5"#,
            r#"by: invalid type: integer `5`, expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":{}"#,
            r#"by: invalid value: an empty table, expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":{"ip":"a"}"#,
            "by: unknown field `ip`, expected `cookie` or `header`",
        ),
        (
            r#""backend":"b","percent":5,"by":{"cookie":"a","header":"b"}"#,
            "by: give one of `cookie` and `header`",
        ),
        (
            r#""backend":"b","percent":5,"by":{"cookie":"a b"}"#,
            r#"by.cookie: "a b" is not a name"#,
        ),
        (
            r#""backend":"b","percent":5,"override_header":"""#,
            r#"override_header: "" is not a name"#,
        ),
        (
            r#""backend":"b","percent":5,"sticky":{"cookie":"a b"}"#,
            r#"sticky.cookie: "a b" is not a name"#,
        ),
        (
            r#""backend":"b","percent":5,"sticky":{"cookie":"a"},"salt":"b;c""#,
            "salt: becomes the cookie's value: use only visible ASCII characters except `\",;\\`",
        ),
        (
            r#""backend":"b","percent":5,"sticky":{"max_age":5}"#,
            "sticky: missing field `cookie`",
        ),
    ] {
        let config = format!("{{{options}}}");
        let error = Instance::<Canary>::configure(&config, &["b"]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

proptest! {
    /// Every request gets a decision.
    #[test]
    fn any_octets_get_a_decision(value in proptest::collection::vec(any::<u8>(), 0..20)) {
        let router = canary(r#""percent":50,"by":{"cookie":"a"},"override_header":"x-a""#);
        let request = RequestBuilder::get("/")
            .header("cookie", [b"a=", value.as_slice()].concat())
            .header("x-a", &value)
            .build();
        prop_assert!(router.route(&request).is_ok());
    }
}

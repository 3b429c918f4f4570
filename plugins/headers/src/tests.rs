//! Tests of the order of edits, and of the exact wording of configuration errors. `cases.toml`,
//! which runs against the component, tests which requests are edited.

use pointsman_sdk::testing::{Edit, Instance, RequestBuilder, ResponseEdit};
use pointsman_sdk::testing::{edits, response_edits};

use super::*;

fn router(options: &str) -> Result<Instance<Headers>, String> {
    Instance::configure(&format!("{{{options}}}"), &[])
}

#[test]
fn edits_are_made_in_their_order() {
    let router = router(
        r#""request":{"append":{"x-a":"2"},"set":{"X-A":"1","Host":"b.test"},"remove":["x-b"]},
           "response":{"append":{"set-cookie":"a=b"},"set":{"x-c":""},"remove":["Server"]}"#,
    )
    .unwrap();
    let request = RequestBuilder::get("/").build();
    assert_eq!(router.route(&request), Ok(Decision::Next));
    assert_eq!(
        edits(&request),
        [
            Edit::RemoveHeader("x-b".into()),
            Edit::SetAuthority(b"b.test".into()),
            Edit::SetHeader("x-a".into(), b"1".into()),
            Edit::AppendHeader("x-a".into(), b"2".into()),
        ]
    );
    assert_eq!(
        response_edits(&request),
        [
            ResponseEdit::RemoveHeader("server".into()),
            ResponseEdit::SetHeader("x-c".into(), Vec::new()),
            ResponseEdit::AppendHeader("set-cookie".into(), b"a=b".into()),
        ]
    );
}

#[test]
fn conditions_must_all_hold() {
    let router = router(
        r#""hosts":["A.test","b.test"],"paths":["/api","/v2/"],"request":{"set":{"x":"1"}}"#,
    )
    .unwrap();
    for (host, target, expected) in [
        ("a.TEST:80", "/api/x?y", 1),
        ("b.test", "/v2", 1),
        ("b.test", "/v22", 0),
        ("c.test", "/api", 0),
    ] {
        let request = RequestBuilder::get(target).header("host", host).build();
        assert_eq!(router.route(&request), Ok(Decision::Next));
        assert_eq!(edits(&request).len(), expected, "{host} {target}");
    }
}

#[test]
fn a_connection_without_http_is_left_as_it_is() {
    let router = router(
        r#""hosts":["a.test"],"request":{"set":{"x":"1"}},"response":{"remove":["server"]}"#,
    )
    .unwrap();
    let request = RequestBuilder::tcp().server_name("a.test").build();
    assert_eq!(router.route(&request), Ok(Decision::Next));
    assert_eq!(edits(&request), []);
    assert_eq!(response_edits(&request), []);
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (
            r#""request":{"set":{"a b":"c"}}"#,
            r#"request.set.a b: "a b" is not a name"#,
        ),
        (
            r#""request":{"append":{"a":"b\nc"}}"#,
            "request.append.a: must be one line",
        ),
        (
            r#""response":{"remove":["a","Content-Length"]}"#,
            "response.remove[1]: only the proxy may set this field",
        ),
        (
            r#""request":{"remove":["Host"]}"#,
            "request: `host` can only be set: a request has exactly one",
        ),
        (
            r#""paths":["/","api"]"#,
            r#"paths[1]: "api" must begin with `/`"#,
        ),
        (
            r#""paths":["/a?b"]"#,
            r#"paths[0]: "/a?b" must be an encoded path: no query, no blanks, other characters as %XX"#,
        ),
        (
            r#""paths":["/api","/api/"]"#,
            r#"paths[1]: entry 2 repeats entry 1, "/api/""#,
        ),
        (
            r#""hosts":["b","a","A"]"#,
            r#"hosts[2]: entry 3 repeats entry 2, "A""#,
        ),
        (
            r#""hosts":["[::1]","a:80"]"#,
            r#"hosts[1]: "a:80" is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""hosts":["a."]"#,
            r#"hosts[0]: "a." is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""hosts":[""]"#,
            r#"hosts[0]: "" is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""responses":{}"#,
            "responses: unknown field `responses`, expected one of `hosts`, `paths`, `request`, \
             `response`",
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}

//! Tests of the exact wording of configuration errors. The decisions of json-route are tested by
//! `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};

use super::*;

fn router(options: &str) -> Result<Instance<JsonRoute>, String> {
    Instance::configure(&format!("{{{options}}}"), &["big", "small"])
}

#[test]
fn a_member_selects_the_backend() {
    let options = r#""member":"/model","backends":{"gpt-4":"big","gpt-4o":"big","7":"small"}"#;
    let router = router(options).unwrap();
    assert_eq!(router.router().backends.values(), ["small", "big"]);
    for (body, expected) in [
        (r#"{"model":"gpt-4"}"#, Decision::backend("big")),
        (r#"{"model":7}"#, Decision::backend("small")),
        (r#"{"model":"gpt-5"}"#, Decision::Next),
        (r#"{"model":"gpt-4","model":"gpt-5"}"#, Decision::Next),
        ("model=gpt-4", Decision::Next),
    ] {
        let request = RequestBuilder::new("POST", "/").body(body).build();
        assert_eq!(router.route(&request), Ok(expected), "{body}");
    }
}

#[test]
fn an_incomplete_body_is_refused_on_request() {
    for (incomplete, expected) in [
        ("next", [None, None, None]),
        ("reject", [Some(413), None, None]),
    ] {
        let options = format!(r#""member":"/a","backends":{{}},"incomplete":"{incomplete}""#);
        let router = router(&options).unwrap();
        let request = || RequestBuilder::new("POST", "/");
        let requests = [request().body_prefix("{"), request().body("{}"), request()];
        let statuses = requests.map(|request| match router.route(&request.build()) {
            Ok(Decision::Respond(response)) => Some(response.status()),
            _ => None,
        });
        assert_eq!(statuses, expected, "{incomplete}");
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (r#""backends":{}"#, "missing field `member`"),
        (
            r#""member":"model","backends":{}"#,
            r#"member: "model" is not a JSON pointer: begin it with `/`"#,
        ),
        (
            r#""member":"/a","backends":{"b":"bg"}"#,
            r#"backends.b: there is no backend "bg""#,
        ),
        (
            r#""member":"/a","backends":{},"incomplete":"wait""#,
            "incomplete: unknown variant `wait`, expected `next` or `reject`",
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}

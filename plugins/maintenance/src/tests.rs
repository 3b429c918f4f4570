//! Tests of the page, and of the exact wording of configuration errors. Which clients get through
//! is tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};
use proptest::prelude::*;

use super::*;

fn router(options: &str) -> Result<Instance<Maintenance>, String> {
    Instance::configure(&format!("{{{options}}}"), &[])
}

#[test]
fn the_page_is_small_and_can_be_read_by_all() {
    assert!(PAGE.len() < 1024);
    for part in [
        "<!doctype html>",
        "<html lang=\"en\">",
        "<meta charset=\"utf-8\">",
        "name=\"viewport\"",
        "<title>",
        "<main>",
        "<h1>",
    ] {
        assert!(PAGE.contains(part), "{part}");
    }
    // The page must not contain anything that would have to be fetched from the site.
    for part in ["<img", "<script", "<link", "url("] {
        assert!(!PAGE.contains(part), "{part}");
    }
}

#[test]
fn the_secret_lets_a_client_through() {
    let router = router(r#""bypass":{"header":"X-Preview","value":"s3cret"}"#).unwrap();
    for (value, expected) in [
        ("s3cret", true),
        ("s3creT", false),
        ("s3cre", false),
        ("", false),
    ] {
        let request = RequestBuilder::get("/").header("x-preview", value).build();
        let is_through = router.route(&request) == Ok(Decision::Next);
        assert_eq!(is_through, expected, "{value}");
    }
}

#[test]
fn a_path_may_be_listed_twice() {
    let router = router(r#""paths":["/a","/a"]"#).unwrap();
    let request = RequestBuilder::get("/a?b").build();
    assert_eq!(router.route(&request), Ok(Decision::Next));
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (
            r#""status":199"#,
            "status: must be a status between 200 and 599 that can have a body",
        ),
        (
            r#""status":304"#,
            "status: must be a status between 200 and 599 that can have a body",
        ),
        (
            r#""retry_after":"10m""#,
            r#"retry_after: invalid type: string "10m", expected u32"#,
        ),
        (r#""content_type":"""#, "content_type: must be a media type"),
        (
            r#""allow":["192.0.2.0/24","::1","192.0.2.0/24"]"#,
            "allow[2]: 192.0.2.0/24 is already in the list",
        ),
        (
            r#""allow":["192.0.2.1/24"]"#,
            r#"allow[0]: "192.0.2.1/24" has bits beyond its prefix: the network is 192.0.2.0/24"#,
        ),
        (
            r#""paths":["/a","/b?c"]"#,
            "paths[1]: must be an encoded path: it begins with `/` and has no query",
        ),
        (
            r#""bypass":{"header":"a","cookie":"b","value":"c"}"#,
            "bypass: give `value`, and either `header` or `cookie`",
        ),
        (
            r#""bypass":{"header":"a"}"#,
            "bypass: missing field `value`",
        ),
        (
            r#""bypass":{"cookie":"a=b","value":"c"}"#,
            r#"bypass.cookie: "a=b" is not a name"#,
        ),
        (
            r#""bypass":{"cookie":"a","value":"b;c"}"#,
            "bypass.value: no request would match: use only visible ASCII characters, and no `;`",
        ),
        (
            r#""bypass":{"header":"a","value":" b"}"#,
            "bypass.value: no request would match: use only visible ASCII characters, and no `;`",
        ),
        (
            r#""enable":false"#,
            "enable: unknown field `enable`, expected one of `enabled`, `status`, `body`, \
             `content_type`, `retry_after`, `allow`, `paths`, `bypass`",
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}

proptest! {
    /// A client that does not send the secret gets the page, whatever else it sends.
    #[test]
    fn any_octets_get_the_page(value in proptest::collection::vec(any::<u8>(), 0..20)) {
        let router = router(r#""bypass":{"cookie":"a","value":"a-longer-secret-than-that"}"#).unwrap();
        let request = RequestBuilder::get("/")
            .header("cookie", [b"a=", value.as_slice()].concat())
            .build();
        prop_assert!(matches!(router.route(&request), Ok(Decision::Respond(_))));
    }
}

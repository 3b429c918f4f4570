//! Tests of locations, and of the exact wording of configuration errors. Other decisions of
//! redirect are tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};

use super::*;

fn router(options: &str) -> Result<Instance<Redirect>, String> {
    Instance::configure(&format!("{{{options}}}"), &[])
}

/// Returns the location that a request is redirected to.
fn location(options: &str, authority: &str, target: &str) -> Option<String> {
    let request = RequestBuilder::get(target)
        .header("host", authority)
        .build();
    match router(options).unwrap().route(&request).unwrap() {
        Decision::Next => None,
        Decision::Respond(response) => {
            let (_, location) = response.headers().first().unwrap();
            Some(String::from_utf8(location.clone()).unwrap())
        }
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn a_location_keeps_what_is_not_changed() {
    let https = r#""scheme":"https""#;
    let port = r#""scheme":"https","port":8443"#;
    let www = r#""host":"WWW.test","hosts":["test","Old.test"]"#;
    for (options, authority, target, expected) in [
        (https, "a.test", "/b//c?d", Some("https://a.test/b//c?d")),
        (https, "A.test.:8080", "/", Some("https://a.test/")),
        (https, "[::1]:80", "/", Some("https://[::1]/")),
        (https, "", "/", None),
        (https, "a", "*", None),
        (port, "a.test", "/", Some("https://a.test:8443/")),
        (www, "test", "/a?b", Some("http://www.test/a?b")),
        (www, "old.test:80", "/", Some("http://www.test/")),
        (www, "www.test", "/", None),
        (r#""scheme":"http""#, "a", "/", None),
        (r#""host":"a""#, "a", "/", None),
    ] {
        let found = location(options, authority, target);
        assert_eq!(
            found.as_deref(),
            expected,
            "{options}: {authority} {target}"
        );
    }
}

#[test]
fn a_path_is_replaced() {
    let prefix = r#""paths":{"/old":"/new","/old/wiki/":"/wiki/","/gone":"/","/same":"/same"}"#;
    let exact = r#""match":"exact","paths":{"/":"/en/","/q":"/search?q=a"}"#;
    for (options, target, expected) in [
        (prefix, "/old/a?b", Some("/new/a?b")),
        (prefix, "/old", Some("/new")),
        (prefix, "/old/wiki", Some("/wiki")),
        (prefix, "/older", None),
        (prefix, "/gone", Some("/")),
        (prefix, "/same/a", None),
        // A path must never become another host.
        (prefix, "/gone//evil.test/a", Some("/evil.test/a")),
        (prefix, r"/gone/\evil.test", Some("/evil.test")),
        (exact, "/", Some("/en/")),
        (exact, "/?a", Some("/en/?a")),
        (exact, "/a", None),
        (exact, "/q", Some("/search?q=a")),
    ] {
        let found = location(options, "a.test", target);
        assert_eq!(found.as_deref(), expected, "{options}: {target}");
    }
    let both = r#""host":"b.test","paths":{"/old":"/"}"#;
    let found = location(both, "a.test", "/old/c?d");
    assert_eq!(found.as_deref(), Some("http://b.test/c?d"));
    let found = location(both, "b.test", "/old/c?d");
    assert_eq!(found.as_deref(), Some("/c?d"));
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        ("", "give one of `scheme`, `host` and `paths`"),
        (
            r#""hosts":["a"]"#,
            "give one of `scheme`, `host` and `paths`",
        ),
        (
            r#""scheme":"ftp""#,
            "scheme: unknown variant `ftp`, expected `http` or `https`",
        ),
        (
            r#""scheme":"https","status":304"#,
            "status: must be 301, 302, 303, 307 or 308",
        ),
        (
            r#""paths":{"/a":"/b"},"port":80"#,
            "port: needs `scheme` or `host`",
        ),
        (
            r#""host":"a:80""#,
            r#"host: "a:80" is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""host":"a.test.""#,
            r#"host: "a.test." is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""scheme":"https","hosts":["a.test."]"#,
            r#"hosts[0]: "a.test." is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""scheme":"https","hosts":["a","b/c"]"#,
            r#"hosts[1]: "b/c" is not a host: write a name or an address, without a port or a trailing dot"#,
        ),
        (
            r#""paths":{"a":"/b"}"#,
            r#"paths.a: "a" must begin with `/`"#,
        ),
        (
            r#""paths":{"/a":"/b c"}"#,
            r#"paths./a: "/b c" must be an encoded path: no query, no blanks, other characters as %XX"#,
        ),
        (
            r#""paths":{"/a":"/b","/a/":"/c"}"#,
            r#"paths: entry 2 repeats entry 1, "/a/""#,
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}

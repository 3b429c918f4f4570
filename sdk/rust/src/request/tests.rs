//! Tests of reads and edits of a request in memory.

use std::time::Duration;

use proptest::prelude::*;

use super::milliseconds;
use crate::testing::{ClientCertificate, Edit, Options, RequestBuilder, ResponseEdit};
use crate::testing::{edits, options, response_edits};

#[test]
fn the_target_splits_at_its_first_question_mark() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a?b=c", "/a", Some("b=c")),
        ("/a?", "/a", Some("")),
        ("/?a?b", "/", Some("a?b")),
        ("*", "*", None),
    ] {
        let request = RequestBuilder::get(target).build();
        assert_eq!((request.path(), request.query()), (path, query));
    }
}

#[test]
fn a_client_has_an_address_unless_it_is_a_socket() {
    for (text, address) in [
        ("192.0.2.1", Some("192.0.2.1")),
        ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("", None),
    ] {
        let request = RequestBuilder::get("/").client(text, 7).build();
        let expected = address.map(|address| address.parse().unwrap());
        assert_eq!(request.client_ip(), expected, "{text}");
        assert_eq!(request.client_address(), text);
        assert_eq!(request.client_port(), 7);
    }
}

#[test]
fn a_request_without_tls_has_no_facts_of_it() {
    let request = RequestBuilder::get("/").build();
    assert_eq!(request.version().as_deref(), Some("1.1"));
    assert_eq!(request.scheme(), "http");
    assert_eq!((request.server_name(), request.alpn()), (None, None));
    assert_eq!(request.client_certificate_subject(), None);
    assert_eq!(request.client_certificate_not_after(), None);
    assert!(request.client_certificate_names().is_empty());
}

#[test]
fn facts_of_tls_are_read_one_by_one() {
    let certificate = ClientCertificate {
        subject: "CN=a".to_owned(),
        issuer: "CN=b".to_owned(),
        names: vec!["a.test".to_owned(), "spiffe://b".to_owned()],
        serial: "1f".to_owned(),
        sha256: "abcd".to_owned(),
        not_after: 7,
    };
    let request = RequestBuilder::get("/")
        .version("2")
        .server_name("a.test")
        .alpn("h2")
        .client_certificate(certificate)
        .build();
    assert_eq!(request.version().as_deref(), Some("2"));
    assert_eq!(request.scheme(), "https");
    assert_eq!(request.server_name().as_deref(), Some("a.test"));
    assert_eq!(request.alpn().as_deref(), Some("h2"));
    let text = |value: Option<String>| value.unwrap();
    assert_eq!(text(request.client_certificate_subject()), "CN=a");
    assert_eq!(text(request.client_certificate_issuer()), "CN=b");
    assert_eq!(request.client_certificate_names(), ["a.test", "spiffe://b"]);
    assert_eq!(text(request.client_certificate_serial()), "1f");
    assert_eq!(text(request.client_certificate_sha256()), "abcd");
    assert_eq!(request.client_certificate_not_after(), Some(7));
}

#[test]
fn a_cookie_is_found_among_others() {
    let request = RequestBuilder::get("/")
        .header("cookie", "ab=1; a=2;a=3")
        .header("Cookie", b"b=\xff; =x;c ; d=")
        .build();
    for (name, value) in [
        ("a", Some(&b"2"[..])),
        ("ab", Some(b"1")),
        ("A", None),
        ("b", Some(b"\xff")),
        ("c", None),
        ("d", Some(b"")),
        ("cookie", None),
    ] {
        assert_eq!(request.cookie(name).as_deref(), value, "{name}");
    }
}

#[test]
fn a_field_is_read_in_any_case_and_as_octets() {
    let request = RequestBuilder::get("/")
        .header("Host", b"\xff.test")
        .header("X-A", "1")
        .header("x-a", "2")
        .build();
    assert_eq!(request.authority(), b"\xff.test");
    assert_eq!(request.header_str("host"), None);
    assert_eq!(request.header_str("x-A").as_deref(), Some("1"));
    assert_eq!(request.header_lines("X-a"), [b"1", b"2"]);
    assert!(request.header_lines("y").is_empty());
    let names: Vec<_> = request
        .headers()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["Host", "X-A", "x-a"]);
}

#[test]
fn a_host_is_in_lower_case_without_port_and_dot() {
    for (authority, host) in [
        ("a", "a"),
        ("A.Test:80", "a.test"),
        ("a.", "a"),
        ("a.:80", "a"),
        ("a:", "a"),
        (":80", ""),
        ("", ""),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
    ] {
        let request = RequestBuilder::get("/").header("host", authority).build();
        assert_eq!(request.host(), host, "{authority}");
        assert_eq!(request.authority(), authority.as_bytes());
    }
    let request = RequestBuilder::get("/").build();
    assert_eq!((request.host(), request.authority()), ("", Vec::new()));
}

#[test]
fn a_parameter_is_decoded() {
    let request = RequestBuilder::get("/?a=1&b+c=d%20e&a=2&%66=%zz%4&g&=h&i=%e4%C3%9f&j==").build();
    for (name, value) in [
        ("a", Some(&b"1"[..])),
        ("b c", Some(b"d e")),
        ("f", Some(b"%zz%4")),
        ("g", Some(b"")),
        ("", Some(b"h")),
        ("i", Some(b"\xe4\xc3\x9f")),
        ("j", Some(b"=")),
        ("k", None),
        ("A", None),
    ] {
        assert_eq!(request.query_parameter(name).as_deref(), value, "{name}");
    }
    let request = RequestBuilder::get("/a").build();
    assert_eq!(request.query_parameter("a"), None);
}

#[test]
fn a_body_is_there_if_the_frontend_waits_for_it() {
    let request = RequestBuilder::get("/").build();
    assert_eq!(
        (request.body_prefix(), request.body_is_complete()),
        (None, false)
    );
    let request = RequestBuilder::new("POST", "/").body("ab").build();
    assert_eq!(request.body_prefix().as_deref(), Some(&b"ab"[..]));
    assert!(request.body_is_complete());
    let request = RequestBuilder::new("POST", "/").body_prefix("ab").build();
    assert!(!request.body_is_complete());
}

#[test]
fn edits_are_kept_in_their_order() {
    let request = RequestBuilder::get("/a/b?c").build();
    request.set_header("X-A", "1").unwrap();
    request.append_header("x-a", "2").unwrap();
    request.remove_header("X-B").unwrap();
    request.set_authority("b.test:80").unwrap();
    request.set_path_with_query("/b?c").unwrap();
    request.replace_path_prefix(2, "").unwrap();
    request.set_response_header("X-C", "3").unwrap();
    request.append_response_header("Set-Cookie", "a=b").unwrap();
    request.remove_response_header("Server").unwrap();
    assert_eq!(
        edits(&request),
        [
            Edit::SetHeader("x-a".into(), b"1".into()),
            Edit::AppendHeader("x-a".into(), b"2".into()),
            Edit::RemoveHeader("x-b".into()),
            Edit::SetAuthority(b"b.test:80".into()),
            Edit::SetPathWithQuery("/b?c".into()),
            Edit::ReplacePathPrefix(2, String::new()),
        ]
    );
    assert_eq!(
        response_edits(&request),
        [
            ResponseEdit::SetHeader("x-c".into(), b"3".into()),
            ResponseEdit::AppendHeader("set-cookie".into(), b"a=b".into()),
            ResponseEdit::RemoveHeader("server".into()),
        ]
    );
    assert_eq!(request.path(), "/a/b");
}

#[test]
fn edits_are_checked() {
    let request = RequestBuilder::get("/").build();
    let long = format!("/{}", "a".repeat(8 * 1024));
    for (edited, expected) in [
        (
            request.set_header("a b", "c"),
            "\"a b\" is not a field name",
        ),
        (request.append_header("", "c"), "\"\" is not a field name"),
        (request.append_header("a", "c\r\nd: e"), "control character"),
        (request.set_path_with_query("a"), "does not begin with `/`"),
        (
            request.set_path_with_query("/a b"),
            "characters that a target cannot have",
        ),
        (
            request.set_path_with_query("/a#b"),
            "characters that a target cannot have",
        ),
        (request.set_path_with_query(&long), "more than 8192 bytes"),
        (request.replace_path_prefix(2, ""), "no 2 bytes to replace"),
        (
            request.replace_path_prefix(1, "/a?b"),
            "characters that a target cannot have",
        ),
        (request.set_authority("a/b"), "not a host"),
        (
            request.remove_header("Content-Length"),
            "only the proxy may set",
        ),
        (
            request.set_header("sec-websocket-key", "a"),
            "only the proxy may set",
        ),
        (
            request.set_response_header("Connection", "a"),
            "only the proxy may set",
        ),
        (request.set_header("Host", "a"), "set-authority"),
        (request.remove_header("host"), "set-authority"),
    ] {
        let error = edited.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(edits(&request), []);
    assert_eq!(response_edits(&request), []);
}

#[test]
fn a_connection_without_http_has_nothing_to_edit() {
    let request = RequestBuilder::tcp().server_name("a.test").build();
    for edited in [
        request.set_header("a", "b"),
        request.append_header("a", "b"),
        request.remove_header("a"),
        request.set_authority("a"),
        request.set_path_with_query("/"),
        request.replace_path_prefix(0, "/"),
        request.set_response_header("a", "b"),
        request.append_response_header("a", "b"),
        request.remove_response_header("a"),
    ] {
        let error = edited.unwrap_err().to_string();
        assert_eq!(error, "a connection without HTTP has nothing to edit");
    }
    assert_eq!(edits(&request), []);
    assert_eq!(response_edits(&request), []);
}

#[test]
fn a_tag_is_cut_between_characters() {
    for (length, end, kept) in [
        (256, "", 256),
        (300, "", 256),
        (256, "ä", 256),
        (255, "ä", 255),
        (254, "äb", 256),
        (253, "😀", 253),
        (252, "😀b", 256),
    ] {
        let request = RequestBuilder::get("/").build();
        request.tag("a", &("a".repeat(length) + end));
        let (_, value) = options(&request).tags.pop().unwrap();
        assert_eq!(value.len(), kept, "{length} {end}");
    }
}

#[test]
fn of_one_option_the_last_call_counts() {
    let request = RequestBuilder::get("/").build();
    assert_eq!(options(&request), Options::default());
    request.set_affinity("a");
    request.set_affinity("b");
    request.set_queue_timeout(Duration::ZERO);
    request.set_connect_timeout(Duration::from_secs(1));
    request.set_server_timeout(Duration::from_nanos(1));
    request.set_tunnel_timeout(Duration::from_millis(4));
    request.set_tries(3);
    request.tag("tenant", "x");
    request.tag("release", "next");
    request.tag("tenant", "acme");
    let expected = Options {
        affinity: Some(b"b".into()),
        queue_timeout: Some(Duration::ZERO),
        connect_timeout: Some(Duration::from_secs(1)),
        server_timeout: Some(Duration::from_millis(1)),
        tunnel_timeout: Some(Duration::from_millis(4)),
        tries: Some(3),
        tags: vec![
            ("release".into(), b"next".into()),
            ("tenant".into(), b"acme".into()),
        ],
    };
    assert_eq!(options(&request), expected);
}

#[test]
fn a_duration_is_rounded_up_to_milliseconds() {
    for (duration, expected) in [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1), 1),
        (Duration::from_millis(7), 7),
        (Duration::MAX, u32::MAX),
    ] {
        assert_eq!(milliseconds(duration), expected);
    }
}

proptest! {
    /// Reads do not panic, whatever a client sends.
    #[test]
    fn any_octets_can_be_read(
        target in "[ -~]{0,40}",
        lines in proptest::collection::vec(
            ("(host|cookie|x-a)", proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        name in "[ -~]{0,4}",
    ) {
        let mut request = RequestBuilder::get(&target);
        for (field, value) in &lines {
            request = request.header(field, value);
        }
        let request = request.build();
        prop_assert!(request.path().len() <= target.len());
        let _ = (request.query(), request.query_parameter(&name), request.cookie(&name));
        let first = lines.iter().find(|(field, _)| field == "host");
        let expected = first.map(|(_, value)| value.clone()).unwrap_or_default();
        prop_assert_eq!(request.authority(), expected);
        prop_assert!(!request.host().bytes().any(|octet| octet.is_ascii_uppercase()));
        prop_assert_eq!(request.header_str("x-a").map(String::into_bytes),
            request.header("x-a").filter(|value| str::from_utf8(value).is_ok()));
    }
}

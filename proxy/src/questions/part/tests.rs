//! Test cases for every part.

use super::super::subject::Body;
use super::*;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::{RequestHead, Scheme, Version};

struct Sample {
    head: RequestHead,
    client: Client,
    tls: Option<TlsFacts>,
}

impl Sample {
    fn new(target: &str, lines: &[(&str, &str)]) -> Sample {
        let mut head = RequestHead::default();
        head.start(b"GET", target.as_bytes(), Version::Http11);
        for (name, value) in lines {
            head.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        Sample {
            head,
            client: Client {
                address: "192.0.2.1".to_owned(),
                port: 7,
            },
            tls: None,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            head: &self.head,
            client: &self.client,
            tls: self.tls.as_ref(),
            body: None,
        }
    }

    /// Checks the values of a part, and that `first` returns the first of them.
    fn check(&self, over: &str, expected: &[&str]) {
        let part = Part::parse(over).unwrap();
        let mut found = Vec::new();
        part.each(self.subject(), &mut |text| {
            found.push(String::from_utf8_lossy(text).into_owned());
        });
        assert_eq!(found, expected, "{over}");
        let first = part.first(self.subject());
        let expected = expected.first().map(|text| text.as_bytes());
        assert_eq!(first.as_deref(), expected, "{over}");
        let written = Part::parse(&part.to_string()).unwrap();
        assert_eq!(written, part, "{over}");
    }
}

#[test]
fn parts_of_a_head() {
    let mut sample = Sample::new(
        "/a/B?q=1&q=2&r=a+%62",
        &[
            ("Host", "IO.test.tld.:8080"),
            ("X-List", "a, \"b,c\""),
            ("x-list", ",d"),
            ("X-Empty", ""),
            ("Cookie", "a=1; b=\"2\"; a=3"),
            ("X-Hop", "gone"),
        ],
    );
    sample.head.fields_mut().drop_named(b"x-hop");
    sample.head.set_scheme(Scheme::Https);
    for (over, expected) in [
        ("method", &["GET"][..]),
        ("scheme", &["https"]),
        ("authority", &["IO.test.tld.:8080"]),
        ("host", &["io.test.tld"]),
        ("path", &["/a/B"]),
        ("path-with-query", &["/a/B?q=1&q=2&r=a+%62"]),
        ("query:q", &["1"]),
        ("query:r", &["a b"]),
        ("query:s", &[]),
        ("header:Host", &["IO.test.tld.:8080"]),
        ("header:X-LIST", &["a, \"b,c\"", ",d"]),
        ("header:x-hop", &[]),
        ("header:x-empty", &[""]),
        ("values:x-list", &["a", "\"b,c\"", "d"]),
        ("values:x-empty", &[]),
        ("cookie:a", &["1"]),
        ("cookie:b", &["\"2\""]),
        ("cookie:c", &[]),
        ("client-address", &["192.0.2.1"]),
        ("server-name", &[]),
        ("body-json:/a", &[]),
    ] {
        sample.check(over, expected);
    }
    sample.tls = Some(TlsFacts {
        server_name: Some("sni.test".into()),
        ..TlsFacts::default()
    });
    sample.check("server-name", &["sni.test"]);
}

#[test]
fn parts_of_a_connection_without_http() {
    let mut sample = Sample::new("", &[]);
    sample.head.set_server_name("sni.test");
    for (over, expected) in [
        ("method", &[""][..]),
        ("authority", &[""]),
        ("host", &["sni.test"]),
        ("path", &[""]),
        ("path-with-query", &[""]),
        ("header:host", &[]),
        ("values:host", &[]),
    ] {
        sample.check(over, expected);
    }
}

#[test]
fn a_request_without_host() {
    let sample = Sample::new("*", &[]);
    sample.check("authority", &[""]);
    sample.check("host", &[""]);
    sample.check("header:host", &[]);
    sample.check("path", &["*"]);
}

#[test]
fn bodies() {
    let check = |codings: &[&str], is_complete, expected: Option<&str>| {
        let lines: Vec<_> = codings
            .iter()
            .map(|line| ("Content-Encoding", *line))
            .collect();
        let sample = Sample::new("/", &lines);
        let subject = Subject {
            body: Some(Body {
                bytes: br#"{"model":"m"}"#,
                is_complete,
            }),
            ..sample.subject()
        };
        let part = Part::parse("body-json:/model").unwrap();
        let found = part.first(subject);
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{codings:?}");
    };
    check(&[], true, Some("m"));
    check(&[], false, None);
    check(&["identity", "Identity, identity"], true, Some("m"));
    check(&["gzip"], true, None);
    check(&["identity", "gzip"], true, None);
}

#[test]
fn texts_that_name_no_part() {
    for (over, expected) in [
        (
            "",
            "\"\" is not a part of a request: parts are method, scheme",
        ),
        ("Host", "\"Host\" is not a part"),
        ("host:x", "\"host:x\" is not a part"),
        ("random", "\"random\" can be used only for shares"),
        (
            "header:",
            "\"\" in \"header:\" is not the name of a header field",
        ),
        (
            "values:a b",
            "\"a b\" in \"values:a b\" is not the name of a header field",
        ),
        (
            "cookie:a=b",
            "\"a=b\" in \"cookie:a=b\" is not the name of a cookie",
        ),
        ("cookie: a", "\" a\" in"),
        (
            "query:",
            "\"\" in \"query:\" is not the name of a query parameter",
        ),
        (
            "body-json:model",
            "\"model\" is not a JSON pointer (RFC 6901)",
        ),
        ("body-json:/a~", "\"/a~\" is not a JSON pointer"),
        ("body-json:/a~2", "\"/a~2\" is not a JSON pointer"),
    ] {
        let error = Part::parse(over).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{over}: {error}");
    }
    let long = format!("header:{}", "a".repeat(MAX_NAME));
    let error = Part::parse(&long).unwrap_err().to_string();
    assert!(error.ends_with("... is longer than 4,096 bytes"), "{error}");
    assert!(error.len() < 200, "{error}");
}

//! What a plugin reads, edits and decides arrives as it was meant.

use std::sync::Arc;

use bytes::Bytes;
use pointsman::http::edit::Edit;
use pointsman::http::head::{CertificateFacts, TlsFacts};
use pointsman::http::message::Version;
use pointsman::plugin::{Cacheability, Decision, Edits, Fault, Read, Reads, Route};
use serde_json::{Value, json};

use crate::{Asked, asked, instantiate, settings};

/// Runs a script once over a request with some fields.
fn run(root: &Value) -> (Result<Decision, Fault>, Reads) {
    run_on(root, |_| {})
}

/// The same for a request that is changed before.
fn run_on(root: &Value, change: impl FnOnce(&mut Asked)) -> (Result<Decision, Fault>, Reads) {
    let config = json!({"cacheable": true, "root": root}).to_string();
    let mut instance = instantiate("guest-scripted", &settings(config)).unwrap();
    assert_eq!(instance.cacheability(), Cacheability::Cacheable);
    let fields: [(&str, &[u8]); 5] = [
        ("Host", b"a.test"),
        ("X-A", b"1"),
        ("other", b""),
        ("x-a", b"2"),
        ("octets", b"\xff"),
    ];
    let mut reads = Reads {
        reads: vec![Read::Tls],
        cacheable: false,
    };
    let mut asked = asked(&fields);
    asked.attempt = 7;
    change(&mut asked);
    let result = instance.route(&mut asked.request(), &mut reads);
    assert!(!instance.is_spent());
    (result, reads)
}

/// Reads `what` and decides for `www` only if the value is `value`.
fn expect(what: &str, name: &str, value: &str, read: &[Read]) {
    expect_of(|_| {}, what, name, value, read);
}

fn expect_of(change: impl FnOnce(&mut Asked), what: &str, name: &str, value: &str, read: &[Read]) {
    let script = json!({"read": {
        "what": what, "name": name,
        "cases": {value: {"backend": "www"}},
        "otherwise": "backend-by-value",
    }});
    let (result, reads) = run_on(&script, change);
    assert_eq!(
        result.unwrap().route,
        Route::Backend("www".into()),
        "{what} {name}"
    );
    assert_eq!(reads.reads, read);
    assert!(reads.cacheable);
}

fn field(name: &str) -> Read {
    Read::Header(name.into())
}

#[test]
fn every_read_has_its_value_and_is_recorded() {
    expect("method", "", "GET", &[Read::Method]);
    expect("scheme", "", "http", &[Read::Scheme]);
    expect("version", "", "1.1", &[Read::Version]);
    expect("path-with-query", "", "/a?b=c", &[Read::PathWithQuery]);
    expect("client", "", "192.0.2.1 4711", &[Read::Client]);
    expect("tls", "", "none", &[Read::Tls]);
    expect("attempt", "", "7", &[Read::Attempt]);
    expect("header", "host", "|a.test", &[field("host")]);
    expect("header", "HOST", "|a.test", &[field("host")]);
    expect("header", "X-a", "|1|2", &[field("x-a")]);
    expect("header", "other", "|", &[field("other")]);
    expect("header", "absent", "", &[field("absent")]);
    expect("header", "octets", "|\u{fffd}", &[field("octets")]);
    // Not a field name: no request can have it, so nothing was learnt.
    expect("header", "a b", "", &[]);
    let all = "host: a.test\nx-a: 1\nx-a: 2\nother: \noctets: \u{fffd}\n";
    expect("headers", "", all, &[Read::Headers]);
}

#[test]
fn the_version_of_http() {
    let check = |version, expected| {
        let change = |asked: &mut Asked| asked.head.set_version(version);
        expect_of(change, "version", "", expected, &[Read::Version]);
    };
    check(Version::Http10, "1.0");
    check(Version::Http11, "1.1");
    check(Version::Http2, "2");
    let change = |asked: &mut Asked| asked.head.set_server_name("a.test");
    expect_of(change, "version", "", "", &[Read::Version]);
}

#[test]
fn facts_of_a_session() {
    let check = |facts: &TlsFacts, what: &str, expected: &str, read: Read| {
        let change = |asked: &mut Asked| asked.tls = Some(Arc::new(facts.clone()));
        expect_of(change, what, "", expected, &[read]);
    };
    let mut facts = TlsFacts::default();
    check(&facts, "tls", " ", Read::Tls);
    facts.server_name = Some("a.test".into());
    facts.alpn = Some((*b"h2").into());
    check(&facts, "tls", "a.test h2", Read::Tls);
    // The scheme is what the head says: a trusted proxy may know better.
    check(&facts, "scheme", "http", Read::Scheme);
    let parts = [
        ("subject", "CN=a", Read::CertificateSubject),
        ("issuer", "CN=b", Read::CertificateIssuer),
        ("names", "a.test spiffe://b", Read::CertificateNames),
        ("serial", "1f", Read::CertificateSerial),
        ("sha256", "abcd", Read::CertificateSha256),
        ("not-after", "7", Read::CertificateNotAfter),
    ];
    for (part, _, read) in &parts {
        let what = format!("certificate-{part}");
        let absent = if *part == "names" { "" } else { "none" };
        expect(&what, "", absent, std::slice::from_ref(read));
        check(&facts, &what, absent, read.clone());
    }
    facts.client_certificate = Some(Box::new(CertificateFacts {
        subject: "CN=a".into(),
        issuer: "CN=b".into(),
        names: vec!["a.test".into(), "spiffe://b".into()],
        serial: "1f".into(),
        sha256: "abcd".into(),
        not_before: 0,
        not_after: 7,
    }));
    for (part, expected, read) in parts {
        check(&facts, &format!("certificate-{part}"), expected, read);
    }
}

#[test]
fn reads_are_in_order_and_hang_on_values() {
    let script = json!({"read": {"what": "method",
        "cases": {"GET": {"read": {"what": "header", "name": "host",
            "cases": {"|a.test": {"read": {"what": "method", "otherwise": {"backend": "www"}}}},
            "otherwise": {"read": {"what": "client", "otherwise": "default"}}}}},
        "otherwise": {"read": {"what": "tls", "otherwise": "default"}}}});
    let (result, reads) = run(&script);
    assert_eq!(result.unwrap().route, Route::Backend("www".into()));
    assert_eq!(reads.reads, [Read::Method, field("host")]);
}

#[test]
fn edits_are_in_order_and_change_no_later_read() {
    let script = json!({"set-header": {"name": "Host", "value": "b.test:81", "then":
        {"append-header": {"name": "X-A", "value": "3", "then":
        {"remove-header": {"name": "octets", "then":
        {"set-target": {"value": "/new?x", "then":
        {"read": {"what": "header", "name": "host",
            "cases": {"|a.test": "default"}, "otherwise": {"error": "seen"}}}}}}}}}}});
    let (result, _) = run(&script);
    let decision = result.unwrap();
    assert_eq!(decision.route, Route::Default);
    let expected = Edits {
        fields: vec![
            Edit::append(b"x-a", b"3").unwrap(),
            Edit::remove(b"octets").unwrap(),
        ],
        host: Some((*b"b.test:81").into()),
        target: Some((*b"/new?x").into()),
    };
    assert_eq!(decision.edits, expected);
}

#[test]
fn a_look_at_a_backend_is_not_cacheable() {
    let (result, reads) = run(&json!({"state": {"name": "www", "then": {"backend": "www"}}}));
    assert_eq!(result.unwrap().route, Route::Backend("www".into()));
    assert!(!reads.cacheable);
}

#[test]
fn a_plugin_answers_by_itself() {
    let script = json!({"respond": {"status": 429, "body": "later",
        "headers": [["Retry-After", "3"], ["set-cookie", "a"], ["set-cookie", "b"]]}});
    let (result, _) = run(&script);
    let Route::Respond(answer) = result.unwrap().route else {
        panic!("an answer");
    };
    assert_eq!(answer.status, 429);
    assert!(answer.values(b"retry-after").eq([b"3"]));
    assert!(answer.values(b"set-cookie").eq([b"a", b"b"]));
    assert_eq!(answer.body, Bytes::from("later"));
}

#[test]
fn reads_are_known_after_a_fault() {
    let script = json!({"read": {"what": "method", "otherwise": {"error": "no"}}});
    let (result, reads) = run(&script);
    assert_eq!(result, Err(Fault::Error("no".into())));
    assert_eq!(reads.reads, [Read::Method]);
}

#[test]
fn a_bad_configuration_is_the_guests_error() {
    let fault = instantiate("guest-scripted", &settings("[")).unwrap_err();
    assert_eq!(fault.kind(), "error");
}

//! A plugin's reads, edits and decisions arrive as intended.

use std::sync::Arc;

use bytes::Bytes;
use pointsman::http::edit::Edit;
use pointsman::http::head::{CertificateFacts, TlsFacts};
use pointsman::http::message::Version;
use pointsman::plugin::{
    BodyPrefix, Cacheability, Decision, Edits, Fault, Read, Reads, Route, Target,
};
use serde_json::{Value, json};

use crate::{Asked, asked, environment, instantiate, plugin, settings};

/// Runs a script once on a request with some fields.
fn run(root: &Value) -> (Result<Decision, Fault>, Reads) {
    run_on(root, |_| {})
}

/// Like [`run`], for a request that `change` modifies first.
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
        reads: vec![Read::Alpn],
        cacheable: false,
    };
    let mut asked = asked(&fields);
    asked.attempt = 7;
    change(&mut asked);
    let result = instance.route(&mut asked.request(), &mut reads);
    assert!(!instance.is_spent());
    (result, reads)
}

/// Reads `what` and routes to `www` only if the value is `value`.
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
    expect("path", "", "/a", &[Read::Path]);
    let parameter = |name: &str| [Read::QueryParameter(name.into())];
    expect("query-parameter", "b", "c", &parameter("b"));
    expect("query-parameter", "c", "none", &parameter("c"));
    expect("authority", "", "a.test", &[Read::Authority]);
    expect("host", "", "a.test", &[Read::Host]);
    let cookie = |name: &str| [Read::Cookie(name.into())];
    expect("cookie", "a", "none", &cookie("a"));
    expect("client-address", "", "192.0.2.1", &[Read::ClientAddress]);
    expect("client-port", "", "4711", &[Read::ClientPort]);
    expect("server-name", "", "none", &[Read::ServerName]);
    expect("alpn", "", "none", &[Read::Alpn]);
    expect("attempt", "", "7", &[Read::Attempt]);
    expect("header", "host", "|a.test", &[field("host")]);
    expect("header", "HOST", "|a.test", &[field("host")]);
    expect("header", "X-a", "|1|2", &[field("x-a")]);
    expect("header", "other", "|", &[field("other")]);
    expect("header", "absent", "", &[field("absent")]);
    expect("header", "octets", "|\u{fffd}", &[field("octets")]);
    // `a b` is not a field name: no request can contain it, so its absence tells the plugin
    // nothing.
    expect("header", "a b", "", &[]);
    let all = "Host: a.test\nX-A: 1\nother: \nx-a: 2\noctets: \u{fffd}\n";
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
    expect_of(change, "version", "", "none", &[Read::Version]);
}

#[test]
fn facts_of_a_session() {
    let check = |facts: &TlsFacts, what: &str, expected: &str, read: Read| {
        let change = |asked: &mut Asked| asked.tls = Some(Arc::new(facts.clone()));
        expect_of(change, what, "", expected, &[read]);
    };
    let mut facts = TlsFacts::default();
    check(&facts, "server-name", "none", Read::ServerName);
    facts.server_name = Some("a.test".into());
    facts.alpn = Some((*b"h2").into());
    check(&facts, "server-name", "a.test", Read::ServerName);
    check(&facts, "alpn", "h2", Read::Alpn);
    // The scheme comes from the head, where a trusted proxy can have set it.
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
            "otherwise": {"read": {"what": "client-port", "otherwise": "default"}}}}},
        "otherwise": {"read": {"what": "alpn", "otherwise": "default"}}}});
    let (result, reads) = run(&script);
    assert_eq!(result.unwrap().route, Route::Backend("www".into()));
    assert_eq!(reads.reads, [Read::Method, field("host")]);
}

#[test]
fn edits_are_in_order_and_change_no_later_read() {
    let script = json!({"set-authority": {"value": "b.test:81", "then":
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
        authority: Some((*b"b.test:81").into()),
        target: Some(Target::Whole((*b"/new?x").into())),
        by: Vec::new(),
    };
    assert_eq!(decision.edits, expected);
}

#[test]
fn reading_a_backend_is_not_cacheable() {
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

/// Runs a script with these questions.
fn with_questions(questions: &Value, root: &Value) -> (Result<Decision, Fault>, Reads) {
    let config = json!({"cacheable": true, "questions": questions, "root": root}).to_string();
    let mut instance = instantiate("guest-scripted", &settings(config)).unwrap();
    let mut reads = Reads::default();
    let mut asked = asked(&[("Host", b"www.a.test:80"), ("Cookie", b"s=1; t=2")]);
    let result = instance.route(&mut asked.request(), &mut reads);
    (result, reads)
}

#[test]
fn questions_are_answered() {
    let check = |question: Value, what: &str, expected: &str| {
        let root = json!({"read": {"what": what, "question": 0,
            "cases": {expected: {"backend": "www"}}, "otherwise": "respond-value"}});
        let (result, reads) = with_questions(&json!([question]), &root);
        let route = result.unwrap().route;
        assert_eq!(route, Route::Backend("www".into()), "{question}");
        assert_eq!(reads.reads, [Read::Question(0)]);
        assert!(reads.cacheable);
    };
    let matcher =
        |kind: &str, over: &str, entries: Value| json!({kind: {"over": over, "entries": entries}});
    check(
        matcher("exact", "host", json!([["www.a.test", 3]])),
        "ask",
        "3",
    );
    check(
        matcher("exact", "host", json!([["a.test", 3]])),
        "ask",
        "none",
    );
    check(
        matcher("prefix", "path", json!([["/", 1], ["/a", 2]])),
        "ask",
        "2",
    );
    check(
        matcher("path-prefix", "path", json!([["/a/", 4]])),
        "ask",
        "4",
    );
    check(
        matcher("suffix", "host", json!([["test", 1], [".test", 2]])),
        "ask",
        "2",
    );
    check(
        matcher("first-suffix", "host", json!([["test", 1], [".test", 2]])),
        "ask",
        "1",
    );
    check(
        matcher("domain", "host", json!([["a.test", 9]])),
        "ask",
        "9",
    );
    check(
        matcher("network", "client-address", json!([["192.0.2.0/24", 5]])),
        "ask",
        "5",
    );
    check(
        matcher("regex", "query:b", json!([["^c+$", 6]])),
        "ask",
        "6",
    );
    let share = |per_million: u32| json!({"share": {"over": "cookie:s", "salt": "x", "per_million": per_million}});
    check(share(1_000_000), "ask", "1");
    check(share(0), "ask", "none");
    check(json!({"value": {"over": "cookie:t"}}), "ask-value", "2");
    check(json!({"usable": {"backend": "www"}}), "ask", "1");
    check(json!({"usable": {"backend": "3-2-1"}}), "ask", "none");
}

#[test]
fn an_invalid_definition_is_an_error_of_configure() {
    let check = |question: Value, expected: &str| {
        let config = json!({"cacheable": true, "questions": [question], "root": "next"});
        let fault = instantiate("guest-scripted", &settings(config.to_string())).unwrap_err();
        let Fault::Error(message) = &fault else {
            panic!("{fault}");
        };
        assert!(message.contains(expected), "{message}");
    };
    let exact = |over: &str, entries: Value| json!({"exact": {"over": over, "entries": entries}});
    check(exact("nothing", json!([])), "nothing");
    check(exact("host", json!([["a", 1], ["a", 2]])), "\"a\"");
    check(
        json!({"network": {"over": "client-address", "entries": [["a/8", 1]]}}),
        "\"a/8\"",
    );
    check(
        json!({"regex": {"over": "path", "entries": [["(", 1]]}}),
        "(",
    );
    check(
        json!({"look-up": {"table": "none", "over": "host"}}),
        "none",
    );
    check(json!({"usable": {"backend": "none"}}), "none");
    check(
        json!({"share": {"over": "host", "per_million": 1_000_001}}),
        "1000001",
    );
}

#[test]
fn edits_and_options_by_questions_are_no_part_of_the_key() {
    let questions = json!([{"value": {"over": "cookie:s"}}, {"value": {"over": "cookie:none"}}]);
    let root = json!({"set-header-by": {"name": "x-s", "question": 0, "then":
        {"set-affinity-by": {"question": 0, "then":
        {"tag-by": {"name": "t", "question": 1, "then":
        {"replace-path-prefix": {"length": 2, "value": "", "then":
        {"append-response-header": {"name": "set-cookie", "value": "a=b", "then":
        {"set-timeout": {"name": "server", "milliseconds": 5, "then":
        {"server": {"backend": "www", "server": "s1", "ask_again": true}}}}}}}}}}}}}});
    let (result, reads) = with_questions(&questions, &root);
    let decision = result.unwrap();
    assert_eq!((reads.reads.len(), reads.cacheable), (0, true));
    assert!(decision.has_questions());
    assert_eq!(
        decision.route.describe(),
        "server s1 of backend www, or ask again"
    );
    assert_eq!(
        decision.edits.describe(|question| question.to_string()),
        ["set x-s by 0", "replace-path-prefix 2 \"\""]
    );
    assert_eq!(
        decision.describe_response_edits(),
        ["append set-cookie: a=b"]
    );
    assert_eq!(
        decision.options.describe(|question| question.to_string()),
        ["affinity by 0", "server-timeout: 5 ms", "tag t by 1"]
    );
}

#[test]
fn the_beginning_of_the_body_is_not_a_part_of_the_key() {
    let script = json!({"read": {"what": "body-prefix", "cases": {"ab": {"backend": "www"}},
        "otherwise": "respond-value"}});
    let with_body = |asked: &mut Asked| {
        asked.body = Some(BodyPrefix {
            bytes: Bytes::from_static(b"ab"),
            is_complete: false,
        });
    };
    let (result, reads) = run_on(&script, with_body);
    assert_eq!(result.unwrap().route, Route::Backend("www".into()));
    assert!(!reads.cacheable);
    let script = json!({"read": {"what": "body-is-complete", "cases": {"false": {"backend": "www"}},
        "otherwise": "respond-value"}});
    let (result, reads) = run_on(&script, with_body);
    assert_eq!(result.unwrap().route, Route::Backend("www".into()));
    assert!(!reads.cacheable);
}

#[test]
fn every_instance_defines_the_same_questions() {
    let value = |over: &str| json!([{"value": {"over": over}}]);
    let script = |questions: &Value| {
        settings(json!({"cacheable": true, "questions": questions, "root": "next"}).to_string())
    };
    let first = instantiate("guest-scripted", &script(&value("host"))).unwrap();
    let known = Some(first.questions());
    let again = |questions: Value| {
        let settings = script(&questions);
        plugin("guest-scripted").instantiate(&settings, &environment(), known)
    };
    let same = again(value("host")).unwrap();
    assert!(Arc::ptr_eq(same.questions(), first.questions()));
    for other in [
        value("path"),
        json!([]),
        json!([{"value": {"over": "host"}}, {"value": {"over": "path"}}]),
    ] {
        let fault = again(other).unwrap_err();
        assert_eq!(fault.kind(), "questions", "{fault}");
    }
}

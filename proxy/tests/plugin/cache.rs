//! Cached decisions equal those of the plugin: a real guest runs generated policies.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pointsman::config::TableValues;
use pointsman::http::head::{CertificateFacts, Client, TlsFacts};
use pointsman::http::message::{self, RequestHead, Scheme};
use pointsman::plugin::{Answers, BodyPrefix, Environment, Instance, Route};
use pointsman::router::rollout::{Mode, Rollout, Share};
use pointsman::router::stage::Stage;
use pointsman::router::version::{Version, VersionSpec};
use pointsman::router::{Change as StageChange, RolloutEnd, Router};
use pointsman::tables::Tables;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Asked, TwoBackends, asked, environment, plugin, settings};

fn router(cacheable: bool, root: &Value) -> Router {
    router_in(environment(), cacheable, root)
}

fn router_in(environment: Environment, cacheable: bool, root: &Value) -> Router {
    let (version, instance) = version_in(environment, cacheable, root);
    Router::new(vec![Stage::new(Arc::new(version), Some(instance), 0)], 0)
}

fn version(cacheable: bool, root: &Value) -> (Version, Instance) {
    version_in(environment(), cacheable, root)
}

fn version_in(environment: Environment, cacheable: bool, root: &Value) -> (Version, Instance) {
    let questions = if environment.tables.has("t") {
        questions()
    } else {
        json!([])
    };
    let config = json!({"cacheable": cacheable, "questions": questions, "root": root});
    let settings = settings(config.to_string());
    let mut draft = VersionSpec::new(plugin("guest-scripted"), settings, environment);
    // A script can return any number of errors, so the number of faults is not limited.
    draft.policy.max_faults = u32::MAX;
    Version::try_new(draft).unwrap()
}

/// Returns the backends and tables that [`questions`] refer to.
fn asked_about() -> (Arc<TwoBackends>, Environment) {
    let backends = Arc::new(TwoBackends::default());
    let tables = [("t", TableValues::Any, [("a", "1"), ("b", "2")])];
    let tables = Arc::new(Tables::from_entries(tables).unwrap());
    let environment = Environment::new(Arc::clone(&backends) as _, tables);
    (backends, environment)
}

/// Returns one question of each kind. The answers to the last [`VALUES`] questions are values.
fn questions() -> Value {
    json!([
        {"exact": {"over": "host", "entries": [["a", 1], ["b", 2]]}},
        {"suffix": {"over": "header:x-a", "ignore_case": true, "entries": [["B", 1], ["ab", 2]]}},
        {"path-prefix": {"over": "path", "entries": [["/a", 1], ["/", 2]]}},
        {"network": {"over": "client-address", "entries": [["10.0.0.0/8", 1], ["10.1.0.0/16", 2]]}},
        {"regex": {"over": "path-with-query", "entries": [["^/a[?]", 1], ["b", 2]]}},
        {"domain": {"over": "server-name", "entries": [["a", 1]]}},
        {"share": {"over": "host", "salt": "s", "per_million": 500_000}},
        {"share": {"over": "random", "salt": "s", "per_million": 500_000}},
        {"usable": {"backend": "www"}},
        {"exact": {"over": "body-json:/m", "entries": [["1", 1], ["2", 2]]}},
        {"look-up": {"table": "t", "over": "header:x-a"}},
        {"look-up": {"table": "t", "over": "host"}},
        {"value": {"over": "values:x-a"}},
    ])
}

/// Number of questions in [`questions`], and how many of them have a value as their answer.
const QUESTIONS: u32 = 13;
const VALUES: u32 = 3;

/// Generates a read or a question, with the answers that each lead to a separate branch.
fn questions_and_reads() -> impl Strategy<Value = Value> {
    let question = (0..QUESTIONS).prop_map(|question| {
        let what = if question < QUESTIONS - VALUES {
            "ask"
        } else {
            "ask-value"
        };
        json!({"what": what, "question": question, "cases": ["none", "1", "2", "a"]})
    });
    let read = reads()
        .prop_map(|(what, name, values)| json!({"what": what, "name": name, "cases": values}));
    prop_oneof![3 => question, 1 => read]
}

/// Generates a decision, preceded by anything that a plugin can do before it decides.
fn full_leaves() -> impl Strategy<Value = Value> {
    let change = prop::sample::select(vec![
        "set-header-by",
        "tag-by",
        "set-affinity-by",
        "set-header",
        "append-header",
        "tag",
        "set-response-header",
        "append-response-header",
        "replace-path-prefix",
        "set-affinity",
        "set-timeout",
        "set-tries",
    ]);
    let value_question = QUESTIONS - VALUES..QUESTIONS;
    let changes = prop::collection::vec((change, "[a-z]{1,3}", value_question, 0..3_u32), 0..4);
    let decision = prop_oneof![
        leaves(),
        Just(json!("next")),
        any::<bool>().prop_map(|again| {
            json!({"server": {"backend": "www", "server": "s1", "ask_again": again}})
        }),
    ];
    (decision, changes).prop_map(|(decision, changes)| {
        changes
            .into_iter()
            .fold(decision, |then, (change, value, question, number)| {
                let body = match change {
                    "set-header-by" => json!({"name": "x-by", "question": question, "then": then}),
                    "tag-by" => json!({"name": value, "question": question, "then": then}),
                    "set-affinity-by" => json!({"question": question, "then": then}),
                    "set-affinity" => json!({"value": value, "then": then}),
                    "set-timeout" => {
                        json!({"name": "queue", "milliseconds": number, "then": then})
                    }
                    "set-tries" => json!({"tries": number + 1, "then": then}),
                    "replace-path-prefix" => {
                        json!({"length": number, "value": value, "then": then})
                    }
                    _ => json!({"name": "x-a", "value": value, "then": then}),
                };
                json!({ change: body })
            })
    })
}

fn full_scripts() -> impl Strategy<Value = Value> {
    full_leaves().prop_recursive(5, 50, 3, |inner| {
        let branches = prop::collection::vec(inner.clone(), 4);
        (questions_and_reads(), branches, inner).prop_map(|(read, branches, otherwise)| {
            let mut read = read;
            let values = read["cases"].take();
            let values = values
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let cases = values.map(str::to_owned).zip(branches);
            read["cases"] = Value::Object(cases.collect());
            read["otherwise"] = otherwise;
            json!({ "read": read })
        })
    })
}

/// Generates a decision, sometimes with an edit before it.
fn leaves() -> impl Strategy<Value = Value> {
    let decision = prop_oneof![
        Just(json!({"backend": "www"})),
        Just(json!({"backend": "3-2-1"})),
        Just(json!("default")),
        (200..600_u16).prop_map(|status| json!({"respond": {"status": status}})),
        Just(json!({"error": "no"})),
        Just(json!({"backend": "missing"})),
    ];
    (decision, "[a-z]{0,3}", 0..4_u8).prop_map(|(then, value, edit)| match edit {
        0 => json!({"set-header": {"name": "x-edit", "value": value, "then": then}}),
        1 => json!({"remove-header": {"name": "x-a", "then": then}}),
        2 => json!({"set-target": {"value": format!("/{value}"), "then": then}}),
        _ => then,
    })
}

/// Generates a read, with the values that each lead to a separate branch.
fn reads() -> impl Strategy<Value = (&'static str, &'static str, &'static [&'static str])> {
    prop::sample::select(vec![
        ("method", "", &["GET", "POST"][..]),
        ("scheme", "", &["https"][..]),
        ("path-with-query", "", &["/", "/a?b"][..]),
        ("header", "host", &["", "|a", "|a|b", "|ab"][..]),
        ("header", "X-A", &["|a", "|a,b"][..]),
        ("headers", "", &["host: a\n", "host: a\nx-a: a\n"][..]),
        ("client-address", "", &["1", "11"][..]),
        ("server-name", "", &["none", "a", "b"][..]),
        ("version", "", &["2"][..]),
        ("certificate-subject", "", &["none", "", "b"][..]),
        ("attempt", "", &["0"][..]),
    ])
}

fn scripts() -> impl Strategy<Value = Value> {
    leaves().prop_recursive(5, 50, 3, |inner| {
        prop_oneof![
            8 => (reads(), prop::collection::vec(inner.clone(), 4), inner.clone()).prop_map(
                |((what, name, values), branches, otherwise)| {
                    let cases: serde_json::Map<_, _> = values
                        .iter()
                        .map(|value| (*value).to_owned())
                        .zip(branches)
                        .collect();
                    json!({"read":
                        {"what": what, "name": name, "cases": cases, "otherwise": otherwise}})
                },
            ),
            1 => inner.prop_map(|then| json!({"state": {"name": "www", "then": then}})),
        ]
    })
}

prop_compose! {
    fn requests()(
        method in prop::sample::select(vec!["GET", "POST"]),
        scheme in prop::sample::select(vec![Scheme::Http, Scheme::Https]),
        path in prop::sample::select(vec!["/", "/a?b"]),
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["host", "x-a", "X-A"]),
                prop::sample::select(vec!["a", "b", "ab", "a,b", ""]),
            ),
            0..4,
        ),
        address in prop::sample::select(vec!["1", "11", "10.0.0.1", "10.1.0.1"]),
        version in prop::sample::select(vec![message::Version::Http11, message::Version::Http2]),
        server_name in prop::option::of(prop::sample::select(vec!["", "a", "b"])),
        body in prop::option::of(prop::sample::select(vec![r#"{"m":1}"#, r#"{"m":"2"}"#, "x"])),
    ) -> Asked {
        let mut head = RequestHead::default();
        head.set_scheme(scheme);
        head.start(method.as_bytes(), path.as_bytes(), version);
        for (name, value) in lines {
            head.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        let client = Arc::new(Client { address: address.to_owned(), port: 1 });
        let tls = server_name.map(|name| {
            let certificate = CertificateFacts { subject: name.into(), ..Default::default() };
            Arc::new(TlsFacts {
                server_name: Some(name.into()),
                client_certificate: (name != "a").then(|| Box::new(certificate)),
                ..TlsFacts::default()
            })
        });
        let body = body.map(|body| BodyPrefix { bytes: body.into(), is_complete: true });
        Asked { head, client, tls, body, attempt: 0, answers: Answers::default() }
    }
}

proptest! {
    #[test]
    fn a_cached_decision_is_what_the_plugin_says(
        script in scripts(),
        mut requests in prop::collection::vec(requests(), 1..40),
        cacheable in prop::bool::weighted(0.9),
    ) {
        let mut router = router(cacheable, &script);
        for request in &mut requests {
            let verdict = router.decide(&mut request.request(), None);
            let asked = router.stages_mut()[0].call(&mut request.request());
            let may_be_kept = cacheable && router.stages()[0].reads().cacheable && asked.is_ok();
            prop_assert_eq!(&verdict.decision, &asked);
            prop_assert!(may_be_kept || !verdict.cached);
            let again = router.decide(&mut request.request(), None);
            prop_assert_eq!(again.cached, may_be_kept);
            prop_assert_eq!(&again.decision, &asked);
        }
    }
}

/// A change between two requests, after which no cached decision may be wrong.
#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    Health,
    Table(&'static str, Option<&'static str>),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Nothing),
        1 => Just(Change::Health),
        1 => prop::sample::select(vec![
            Change::Table("a", None),
            Change::Table("a", Some("1")),
            Change::Table("b", Some("a")),
            Change::Table("", Some("2")),
        ]),
    ]
}

proptest! {
    #[test]
    fn a_decision_kept_under_answers_is_what_the_plugin_says(
        script in full_scripts(),
        mut requests in prop::collection::vec((requests(), changes()), 1..40),
    ) {
        let (backends, environment) = asked_about();
        let tables = Arc::clone(&environment.tables);
        let mut kept = router_in(environment.clone(), true, &script);
        let mut asked = router_in(environment, false, &script);
        for (request, change) in &mut requests {
            match *change {
                Change::Nothing => {}
                Change::Health => {
                    let before = backends.is_usable.load(Ordering::Relaxed);
                    backends.is_usable.store(!before, Ordering::Relaxed);
                }
                Change::Table(key, value) => {
                    let everything = |_: &str| true;
                    // The entry might already be deleted.
                    let _ = tables.change("t", key, value, &everything);
                }
            }
            let decided = kept.decide(&mut request.request(), None);
            let expected = asked.decide(&mut request.request(), None);
            prop_assert_eq!(&decided.decision, &expected.decision);
            prop_assert!(!expected.cached);
            // Decides again with the answers that the request already has, so random draws and the
            // changes above make no difference.
            let again = kept.decide(&mut request.request(), None);
            prop_assert_eq!(&again.decision, &expected.decision);
            let is_kept = kept.stages()[0].reads().cacheable || again.cached;
            prop_assert_eq!(again.cached, is_kept && expected.decision.is_ok());
        }
    }
}

#[test]
fn a_new_version_starts_empty() {
    let mut request = asked(&[("host", b"a")]);
    for _ in 0..2 {
        let mut router = router(true, &json!({"backend": "www"}));
        assert!(!router.decide(&mut request.request(), None).cached);
        assert!(router.decide(&mut request.request(), None).cached);
        let totals = router.stages()[0].version().stats().totals();
        assert_eq!((totals.cached, totals.called), (1, 1));
    }
}

/// This happens in a worker that replaces another one during a trial, and so has no instance of the
/// version on trial.
#[test]
fn a_trial_without_an_instance_is_promoted() {
    let mut request = asked(&[("host", b"a")]);
    let mut router = router(true, &json!("default"));
    let (next, _) = version(true, &json!({"backend": "www"}));
    let next = Arc::new(next.numbered(2));
    let share = Share::of_percent(100.0).unwrap();
    let rollout = Rollout::new(next, Mode::Mirror, share, Vec::new(), 1);
    router.apply(0, StageChange::StartRollout(Arc::new(rollout), None));
    router.apply(0, StageChange::EndRollout(RolloutEnd::Promoted));
    assert_eq!(router.stages()[0].version().number(), 2);
    let decided = router
        .decide(&mut request.request(), None)
        .decision
        .unwrap();
    assert!(matches!(decided.route, Route::Backend(_)), "{decided:?}");
}

/// Decisions of a mirrored version are compared after each question is replaced by its answer,
/// because the same question can have another number in the other version.
#[test]
fn mirrored_decisions_are_compared_by_their_answers() {
    let version = |values: [&str; 2], question: u32| {
        let questions = values.map(|over| json!({"value": {"over": over}}));
        let root = json!({"set-header-by": {"name": "x-by", "question": question, "then":
            {"tag-by": {"name": "by", "question": question, "then":
            {"set-affinity-by": {"question": question, "then": {"backend": "www"}}}}}}});
        let config = json!({"cacheable": true, "questions": questions, "root": root});
        let settings = settings(config.to_string());
        let spec = VersionSpec::new(plugin("guest-scripted"), settings, environment());
        Version::try_new(spec).unwrap()
    };
    let (one, two) = ("header:x-a", "header:x-b");
    let mut requests = [("1", "2"), ("1", "1"), ("2", "1")]
        .map(|(a, b)| asked(&[("host", b"a"), ("x-a", a.as_bytes()), ("x-b", b.as_bytes())]));
    // Each row: the questions of the mirrored version, the number of the question that this version
    // uses, and the number of requests for which the two versions decide differently. The active
    // version uses the value of `one`.
    for (values, question, differing) in [
        ([one, two], 0, 0),
        ([two, one], 1, 0),
        // The question has the same number but is another one. Its answer is the same for only one
        // request.
        ([two, one], 0, 2),
    ] {
        let (active, instance) = version([one, two], 0);
        let mut router = Router::new(vec![Stage::new(Arc::new(active), Some(instance), 0)], 0);
        let (mirrored, instance) = version(values, question);
        let mirrored = Arc::new(mirrored.numbered(2));
        let share = Share::of_percent(100.0).unwrap();
        let rollout = Arc::new(Rollout::new(mirrored, Mode::Mirror, share, Vec::new(), 1));
        let start = StageChange::StartRollout(Arc::clone(&rollout), Some(instance));
        router.apply(0, start);
        for request in &mut requests {
            request.answers = Answers::default();
            router
                .decide(&mut request.request(), None)
                .decision
                .unwrap();
        }
        let report = rollout.results().report();
        let counted = (report.called, report.differing, report.failed);
        assert_eq!(counted, (3, differing, 0), "{values:?} {question}");
    }
}

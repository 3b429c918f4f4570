//! Cached decisions are the plugin's: generated policies, run by a real guest.

use std::sync::Arc;

use pointsman::http::head::{CertificateFacts, Client, TlsFacts};
use pointsman::http::message::{self, RequestHead, Scheme};
use pointsman::plugin::{Instance, Route};
use pointsman::router::rollout::{Mode, Rollout, Share};
use pointsman::router::version::{Version, VersionSpec};
use pointsman::router::{Change, RolloutEnd, Router};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Asked, TwoBackends, asked, plugin, settings};

fn router(cacheable: bool, root: &Value) -> Router {
    let (version, instance) = version(cacheable, root);
    Router::new(Arc::new(version), Some(instance), 0)
}

fn version(cacheable: bool, root: &Value) -> (Version, Instance) {
    let config = json!({"cacheable": cacheable, "root": root}).to_string();
    let mut draft = VersionSpec::new(
        plugin("guest-scripted"),
        settings(config),
        Arc::new(TwoBackends),
    );
    // However many errors it is told to report.
    draft.policy.max_faults = u32::MAX;
    Version::try_new(draft).unwrap()
}

/// A decision, with edits before it.
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

/// A read, with the values that lead elsewhere than most.
fn reads() -> impl Strategy<Value = (&'static str, &'static str, &'static [&'static str])> {
    prop::sample::select(vec![
        ("method", "", &["GET", "POST"][..]),
        ("scheme", "", &["https"][..]),
        ("path-with-query", "", &["/", "/a?b"][..]),
        ("header", "host", &["", "|a", "|a|b", "|ab"][..]),
        ("header", "X-A", &["|a", "|a,b"][..]),
        ("headers", "", &["host: a\n", "host: a\nx-a: a\n"][..]),
        ("client", "", &["1 1", "11 1"][..]),
        ("tls", "", &["none", "a ", "b "][..]),
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
        address in prop::sample::select(vec!["1", "11"]),
        version in prop::sample::select(vec![message::Version::Http11, message::Version::Http2]),
        server_name in prop::option::of(prop::sample::select(vec!["", "a", "b"])),
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
        Asked { head, client, tls, attempt: 0 }
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
            let asked = router.ask(&mut request.request());
            let may_be_kept = cacheable && router.reads().cacheable && asked.is_ok();
            prop_assert_eq!(&verdict.decision, &asked);
            prop_assert!(may_be_kept || !verdict.cached);
            let again = router.decide(&mut request.request(), None);
            prop_assert_eq!(again.cached, may_be_kept);
            prop_assert_eq!(&again.decision, &asked);
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
        let totals = router.version().stats().totals();
        assert_eq!((totals.cached, totals.asked), (1, 1));
    }
}

/// As in a worker that takes the place of another during a trial.
#[test]
fn a_trial_without_an_instance_is_promoted() {
    let mut request = asked(&[("host", b"a")]);
    let mut router = router(true, &json!("default"));
    let (next, _) = version(true, &json!({"backend": "www"}));
    let next = Arc::new(next.numbered(2));
    let share = Share::of_percent(100.0).unwrap();
    let rollout = Rollout::new(next, Mode::Mirror, share, Vec::new(), 1);
    router.apply(Change::StartRollout(Arc::new(rollout), None));
    router.apply(Change::EndRollout(RolloutEnd::Promoted));
    assert_eq!(router.version().number(), 2);
    let decided = router
        .decide(&mut request.request(), None)
        .decision
        .unwrap();
    assert!(matches!(decided.route, Route::Backend(_)), "{decided:?}");
}

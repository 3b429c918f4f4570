//! Instances that start from a snapshot taken after `configure` behave like configured ones.

use std::borrow::Cow;
use std::sync::LazyLock;

use pointsman::plugin::{
    CompiledCache, Decision, Environment, Fault, Instance, Origin, Plugin, Read, Reads, Route,
    Settings, SnapshotError, Source,
};
use serde_json::json;

use crate::{asked, environment, guest, plugin, route, settings};

/// One environment for all tests, because a snapshot is not used with the backends of another
/// environment.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(environment);

fn snapshot(name: &str, settings: &Settings) -> Result<Plugin, SnapshotError> {
    let source = Source {
        name: name.to_owned(),
        bytes: guest(name).into(),
    };
    plugin(name).snapshot(&source, settings, &ENVIRONMENT, None)
}

fn start(plugin: &Plugin, settings: &Settings) -> Instance {
    plugin.instantiate(settings, &ENVIRONMENT, None).unwrap()
}

fn ask(instance: &mut Instance) -> (Result<Decision, Fault>, Reads) {
    let fields: [(&str, &[u8]); 2] = [("host", b"a.test"), ("x-a", b"1")];
    let mut reads = Reads::default();
    let decision = instance.route(&mut asked(&fields).request(), &mut reads);
    (decision, reads)
}

#[test]
fn an_instance_from_a_snapshot_decides_as_a_configured_one() {
    for root in [
        json!({"backend": "www"}),
        json!({"read": {"what": "header", "name": "host",
            "cases": {"|a.test": {"backend": "3-2-1"}}, "otherwise": "default"}}),
        json!({"error": "no"}),
    ] {
        let settings = settings(json!({"cacheable": true, "root": root}).to_string());
        let plain = plugin("guest-scripted");
        let snapshot = snapshot("guest-scripted", &settings).unwrap();
        assert!(snapshot.has_snapshot_for(&settings.config, &ENVIRONMENT) && !plain.has_snapshot());
        assert_eq!(snapshot.sha256(), plain.sha256());
        let (mut plain, mut snapshot) = (start(&plain, &settings), start(&snapshot, &settings));
        assert_eq!(snapshot.cacheability(), plain.cacheability());
        for _ in 0..3 {
            assert_eq!(ask(&mut snapshot), ask(&mut plain), "{root}");
        }
    }
}

#[test]
fn an_instance_from_a_snapshot_has_its_questions() {
    let script = json!({
        "cacheable": true,
        "questions": [{"suffix": {"over": "host", "entries": [["a.test", 5]]}}],
        "root": {"read": {"what": "ask", "question": 0,
            "cases": {"5": {"backend": "www"}}, "otherwise": "default"}},
    });
    let settings = settings(script.to_string());
    let snapshot = snapshot("guest-scripted", &settings).unwrap();
    let mut instance = start(&snapshot, &settings);
    assert_eq!(instance.questions().len(), 1);
    let (decision, reads) = ask(&mut instance);
    assert_eq!(decision.unwrap().route, Route::Backend("www".into()));
    assert_eq!(reads.reads, [Read::Question(0)]);
}

#[test]
fn a_snapshot_is_not_used_for_another_configuration() {
    let script = |backend: &str| {
        settings(json!({"cacheable": false, "root": {"backend": backend}}).to_string())
    };
    let snapshot = snapshot("guest-scripted", &script("www")).unwrap();
    let other = script("3-2-1");
    assert!(!snapshot.has_snapshot_for(&other.config, &ENVIRONMENT));
    // Nor is the snapshot used with other backends, because `configure` could have queried them.
    assert!(!snapshot.has_snapshot_for(&script("www").config, &environment()));
    let decision = ask(&mut start(&snapshot, &other)).0.unwrap();
    assert_eq!(decision.route, Route::Backend("3-2-1".into()));
}

#[test]
fn an_impure_configure_makes_no_snapshot() {
    let settings = settings(json!({"configure": ["wall-clock"]}).to_string());
    let error = snapshot("guest-wasi", &settings).unwrap_err();
    assert!(matches!(error, SnapshotError::Impure(_)), "{error}");
}

#[test]
fn a_refused_configuration_makes_no_snapshot() {
    let error = snapshot("guest-scripted", &settings("{}")).unwrap_err();
    assert!(matches!(error, SnapshotError::Refused), "{error}");
}

#[test]
fn an_instance_from_a_snapshot_fails_as_a_configured_one() {
    let settings = settings(json!({"mode": "trap-unreachable", "value": 0}).to_string());
    let snapshot = snapshot("guest-hostile", &settings).unwrap();
    let mut instance = start(&snapshot, &settings);
    let fault = route(&mut instance).unwrap_err();
    let plain = route(&mut start(&plugin("guest-hostile"), &settings)).unwrap_err();
    assert_eq!(fault.kind(), plain.kind());
    assert!(instance.is_spent());
}

#[test]
fn the_code_of_a_snapshot_is_cached() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let settings = settings(json!({"cacheable": true, "root": {"backend": "www"}}).to_string());
    let source = Source {
        name: "guest-scripted".to_owned(),
        bytes: Cow::Owned(guest("guest-scripted")),
    };
    let origins = [(); 2].map(|()| {
        let snapshot =
            plugin("guest-scripted").snapshot(&source, &settings, &ENVIRONMENT, Some(&cache));
        snapshot.unwrap().origin()
    });
    assert_eq!(origins, [Origin::Compiled, Origin::Cached]);
}

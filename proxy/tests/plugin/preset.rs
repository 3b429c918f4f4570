//! Instances that begin as they are after `configure` do as those that are configured.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use pointsman::plugin::{
    Backends, CompiledCache, Fault, Instance, Origin, Outcome, Plugin, PresetError, Reads,
    Settings, Source,
};
use serde_json::json;

use crate::{TwoBackends, guest, head, plugin, route, settings};

/// The same for all: another would be other backends.
fn backends() -> Arc<dyn Backends> {
    static BACKENDS: LazyLock<Arc<dyn Backends>> = LazyLock::new(|| Arc::new(TwoBackends));
    Arc::clone(&BACKENDS)
}

fn preset(name: &str, settings: &Settings) -> Result<Plugin, PresetError> {
    let source = Source {
        name: name.to_owned(),
        bytes: guest(name).into(),
    };
    plugin(name).preset(&source, settings, &backends(), None)
}

fn start(plugin: &Plugin, settings: &Settings) -> Instance {
    plugin.instantiate(settings, backends()).unwrap()
}

fn ask(instance: &mut Instance) -> (Result<Outcome, Fault>, Reads) {
    let fields: [(&str, &[u8]); 2] = [("host", b"a.test"), ("x-a", b"1")];
    let mut reads = Reads::default();
    let (_, outcome) = instance.route(head(&fields), 0, &mut reads);
    (outcome, reads)
}

#[test]
fn a_preset_instance_decides_as_a_configured_one() {
    for root in [
        json!({"backend": "www"}),
        json!({"read": {"what": "header", "name": "host",
            "cases": {"|a.test": {"backend": "3-2-1"}}, "otherwise": "default"}}),
        json!({"error": "no"}),
    ] {
        let settings = settings(json!({"cacheable": true, "root": root}).to_string());
        let plain = plugin("guest-scripted");
        let preset = preset("guest-scripted", &settings).unwrap();
        assert!(preset.is_preset_for(&settings.config, &backends()) && !plain.is_preset());
        assert_eq!(preset.sha256(), plain.sha256());
        let (mut plain, mut preset) = (start(&plain, &settings), start(&preset, &settings));
        assert_eq!(preset.cacheability(), plain.cacheability());
        for _ in 0..3 {
            assert_eq!(ask(&mut preset), ask(&mut plain), "{root}");
        }
    }
}

#[test]
fn with_another_configuration_it_is_configured() {
    let script = |backend: &str| {
        settings(json!({"cacheable": false, "root": {"backend": backend}}).to_string())
    };
    let preset = preset("guest-scripted", &script("www")).unwrap();
    let other = script("3-2-1");
    assert!(!preset.is_preset_for(&other.config, &backends()));
    // Nor among other backends, of which it may have asked.
    let elsewhere: Arc<dyn Backends> = Arc::new(TwoBackends);
    assert!(!preset.is_preset_for(&script("www").config, &elsewhere));
    let outcome = ask(&mut start(&preset, &other)).0.unwrap();
    assert_eq!(
        outcome.decision,
        pointsman::plugin::Decision::Backend("3-2-1".into())
    );
}

/// `guest-wasi` takes the time, random numbers and standard output on its way up.
#[test]
fn what_is_another_each_time_is_not_kept() {
    let settings = settings(json!({"route": []}).to_string());
    let error = preset("guest-wasi", &settings).unwrap_err();
    assert!(matches!(error, PresetError::Impure(_)), "{error}");
}

#[test]
fn what_cannot_be_configured_is_said_elsewhere() {
    let error = preset("guest-scripted", &settings("{}")).unwrap_err();
    assert!(matches!(error, PresetError::Refused), "{error}");
}

#[test]
fn a_preset_instance_fails_as_a_configured_one() {
    let settings = settings(json!({"mode": "trap-unreachable", "value": 0}).to_string());
    let preset = preset("guest-hostile", &settings).unwrap();
    let mut instance = start(&preset, &settings);
    let fault = route(&mut instance).unwrap_err();
    let plain = route(&mut start(&plugin("guest-hostile"), &settings)).unwrap_err();
    assert_eq!(fault.kind(), plain.kind());
    assert!(instance.is_spent());
}

#[test]
fn its_code_is_kept_as_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let settings = settings(json!({"cacheable": true, "root": {"backend": "www"}}).to_string());
    let source = Source {
        name: "guest-scripted".to_owned(),
        bytes: Cow::Owned(guest("guest-scripted")),
    };
    let backends = backends();
    let origins = [(); 2].map(|()| {
        let preset = plugin("guest-scripted").preset(&source, &settings, &backends, Some(&cache));
        preset.unwrap().origin()
    });
    assert_eq!(origins, [Origin::Compiled, Origin::Cached]);
}

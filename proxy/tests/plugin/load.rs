//! Files that are plugins and files that are not, with their error messages; and compiled code on
//! disk.

use std::fs;
use std::path::PathBuf;

use pointsman::plugin::{
    CompiledCache, Compiler, Engine, EngineLimits, LoadError, Origin, Plugin, Route, Source,
};
use pointsman::router::version::{Version, VersionSpec};
use serde_json::json;

use crate::{ENGINE, environment, guest, route, settings};

fn load(bytes: Vec<u8>, cache: Option<&CompiledCache>) -> Result<Plugin, LoadError> {
    let source = Source {
        name: "test".into(),
        bytes: bytes.into(),
    };
    Plugin::load(&ENGINE, &source, cache)
}

fn error(bytes: Vec<u8>) -> LoadError {
    load(bytes, None).expect_err("not a plugin")
}

/// Returns `bytes` with every `from` replaced by `to`, which has the same length.
pub(crate) fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for start in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[start..].starts_with(from.as_bytes()) {
            bytes[start..start + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in the file");
    bytes
}

#[test]
fn a_plugin_has_a_name_and_a_digest() {
    let plugin = load(guest("guest-hostile"), None).unwrap();
    assert_eq!(plugin.name(), "test");
    assert_eq!(plugin.sha256().len(), 64);
    assert_eq!(plugin.origin(), Origin::Compiled);
    assert_ne!(
        load(guest("guest-wasi"), None).unwrap().sha256(),
        plugin.sha256()
    );
}

#[test]
fn a_file_that_is_not_webassembly_is_an_error() {
    let check = |bytes: &[u8], expected: &str| {
        let found = error(bytes.to_vec());
        assert!(!found.is_transient());
        assert!(found.to_string().contains(expected), "{found}");
    };
    check(b"", "the file is empty");
    check(b"\x7fELF", "the file is not WebAssembly");
    check(b"(component)", "the file is WebAssembly text");
    check(b"\0asm\x01\0\0\0", "without component-type metadata");
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let whole = guest("guest-scripted");
    for part in 0..64 {
        let len = whole.len() * part / 64;
        assert!(load(whole[..len].to_vec(), None).is_err(), "{len} bytes");
    }
}

#[test]
fn a_damaged_file_is_an_error_or_works() {
    let whole = guest("guest-scripted");
    let damaged = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        load(bytes, None)
    };
    let settings = settings(json!({"root": "default"}).to_string());
    let parts = (1..12).map(|part| whole.len() * part / 12);
    for at in parts {
        match damaged(at) {
            // Changes to data and to names can be harmless.
            Ok(plugin) => match plugin.instantiate(&settings, &environment(), None) {
                Ok(mut instance) => drop(route(&mut instance)),
                Err(fault) => assert!(!fault.to_string().is_empty()),
            },
            Err(error) => assert!(!error.is_transient() && !error.to_string().is_empty()),
        }
    }
    // Damage to the magic number, the version or the kind of the first section is always found.
    for at in 0..9 {
        assert!(damaged(at).is_err(), "byte {at}");
    }
}

#[test]
fn an_empty_component_exports_nothing() {
    let found = error(b"\0asm\x0d\0\x01\0".to_vec()).to_string();
    assert_eq!(
        found,
        "the component does not export pointsman:router/plugin@1.0.0, which the world `router` requires; it exports nothing. Export the interface: in Rust with `pointsman_sdk::export!`, elsewhere as the SDK's template does"
    );
}

#[test]
fn another_version_of_the_contract_is_named() {
    for version in ["0.1.0", "2.0.0"] {
        let bytes = replaced(&guest("guest-scripted"), "@1.0.0", &format!("@{version}"));
        let found = error(bytes).to_string();
        assert!(found.contains("pointsman:router/"), "{found}");
        let expected =
            format!("@{version}, this host serves pointsman:router@1.0.0 and every other 1.x");
        assert!(found.contains(&expected), "{found}");
    }
}

/// Loads a component that was built for this version of the contract. `renamed` makes it import
/// something that this host lacks.
fn of_version(version: &str, renamed: Option<(&str, &str)>) -> Plugin {
    let mut bytes = replaced(&guest("guest-scripted"), "@1.0.0", &format!("@{version}"));
    if let Some((known, unknown)) = renamed {
        bytes = replaced(&bytes, known, unknown);
    }
    load(bytes, None).unwrap()
}

#[test]
fn a_component_for_another_release_of_1_is_served() {
    let settings = settings(json!({"cacheable": true, "root": "default"}).to_string());
    for version in ["1.0.1", "1.9.0"] {
        let plugin = of_version(version, None);
        let mut instance = plugin.instantiate(&settings, &environment(), None).unwrap();
        assert_eq!(
            route(&mut instance).unwrap().route,
            Route::Default,
            "{version}"
        );
    }
}

#[test]
fn a_function_of_a_later_release_traps_only_if_it_is_called() {
    let missing = (
        "request-head.query-parameter",
        "request-head.query-parametre",
    );
    let plugin = of_version("1.9.0", Some(missing));
    let ask = |what: &str| {
        let root = json!({"read": {"what": what, "name": "a", "otherwise": "default"}});
        let settings = settings(json!({"cacheable": true, "root": root}).to_string());
        let mut instance = plugin.instantiate(&settings, &environment(), None).unwrap();
        route(&mut instance)
    };
    assert_eq!(ask("path").unwrap().route, Route::Default);
    let fault = ask("query-parameter").unwrap_err().to_string();
    assert!(
        fault.contains("request#[method]request-head.query-parametre is not there in this proxy"),
        "{fault}"
    );
}

#[test]
fn an_interface_of_a_later_release_traps_only_if_it_is_called() {
    let plugin = of_version("1.9.0", Some(("router/log@", "router/lag@")));
    let ask = |root: serde_json::Value| {
        let settings = settings(json!({"cacheable": true, "root": root}).to_string());
        let mut instance = plugin.instantiate(&settings, &environment(), None).unwrap();
        route(&mut instance)
    };
    assert_eq!(ask(json!("default")).unwrap().route, Route::Default);
    let fault = ask(json!({"log": {"message": "a", "then": "default"}})).unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("lag#write is not there in this proxy"),
        "{fault}"
    );
}

#[test]
fn an_import_that_is_not_offered_is_named() {
    let bytes = replaced(
        &guest("guest-wasi"),
        "wasi:random/random",
        "wasi:random/dice00",
    );
    let found = error(bytes).to_string();
    assert!(
        found.contains(
            "imports wasi:random/dice00@0.2.3, which this host does not offer; it offers"
        ),
        "{found}"
    );
}

#[test]
fn an_import_of_another_type_is_named() {
    let bytes = replaced(&guest("guest-wasi"), "get-arguments", "got-arguments");
    let found = error(bytes);
    assert!(matches!(found, LoadError::ImportType(_)), "{found}");
    assert!(found.to_string().contains("got-arguments"), "{found}");
}

#[test]
fn an_export_of_another_type_is_named() {
    let bytes = replaced(&guest("guest-scripted"), "configure", "configura");
    let found = error(bytes);
    assert!(matches!(found, LoadError::ExportType(_)), "{found}");
    assert!(found.to_string().contains("configure"), "{found}");
}

fn cached_files(cache: &CompiledCache) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.directory()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_code_is_kept_and_damaged_code_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let load = || load(guest("guest-hostile"), Some(&cache)).unwrap();

    let first = load();
    assert_eq!(first.origin(), Origin::Compiled);
    let files = cached_files(&cache);
    assert_eq!(files.len(), 1);
    let good = fs::read(&files[0]).unwrap();

    let second = load();
    assert_eq!(second.origin(), Origin::Cached);
    assert_eq!(second.sha256(), first.sha256());

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bad in [&b""[..], b"garbage", &good[..good.len() / 2], &flipped] {
        fs::write(&files[0], bad).unwrap();
        assert_eq!(load().origin(), Origin::Compiled);
        assert_eq!(cached_files(&cache), files);
        assert!(fs::read(&files[0]).unwrap() == good, "the file is replaced");
        assert_eq!(load().origin(), Origin::Cached);
    }
}

#[test]
fn cached_code_runs_as_compiled_code_does() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    for origin in [Origin::Compiled, Origin::Cached] {
        let plugin = load(guest("guest-hostile"), Some(&cache)).unwrap();
        assert_eq!(plugin.origin(), origin);
        let settings = crate::settings(r#"{"mode": "trap-unreachable"}"#);
        let mut instance = plugin.instantiate(&settings, &environment(), None).unwrap();
        let fault = crate::route(&mut instance).unwrap_err();
        assert_eq!(fault.kind(), "trap");
    }
}

#[test]
fn evicted_code_is_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let settings = settings(json!({"cacheable": true, "root": "default"}).to_string());
    let decide = |plugin: &Plugin| {
        let mut instance = plugin.instantiate(&settings, &environment(), None)?;
        route(&mut instance)
    };
    let plugin = load(guest("guest-scripted"), Some(&cache)).unwrap();
    let file = cached_files(&cache).remove(0);
    let before = decide(&plugin).unwrap();
    plugin.evict();
    // The open file remains usable whatever happens to its name.
    let moved = directory.path().join("moved");
    std::fs::rename(&file, &moved).unwrap();
    assert_eq!(decide(&plugin), Ok(before.clone()));
    // While the file is missing, eviction leaves the code in memory.
    plugin.evict();
    std::fs::rename(&moved, &file).unwrap();
    assert_eq!(decide(&plugin), Ok(before));
    // A file that is damaged while the code is evicted is not trusted.
    plugin.evict();
    std::fs::write(&file, "damaged").unwrap();
    let fault = decide(&plugin).unwrap_err();
    assert!(
        fault.to_string().contains("compiled code is lost"),
        "{fault}"
    );
}

#[test]
fn code_in_service_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let plugin = load(guest("guest-scripted"), Some(&cache)).unwrap();
    let file = cached_files(&cache).remove(0);
    let settings = settings(json!({"cacheable": true, "root": "default"}).to_string());
    let spec = VersionSpec::new(plugin, settings, environment());
    let (version, _) = Version::try_new(spec).unwrap();
    // A retired version shares the code and tries to evict it.
    let retired = version.with_plugin(version.plugin().released());
    retired.plugin().evict();
    fs::write(&file, "damaged").unwrap();
    assert!(version.instantiate().is_ok());
    // From here on, no version in service uses the code.
    drop(version);
    assert!(retired.instantiate().is_err());
}

#[test]
fn a_plugin_moves_to_another_engine() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CompiledCache::open(directory.path().join("cache")).unwrap();
    let settings = settings(json!({"cacheable": true, "root": "default"}).to_string());
    let decide = |plugin: &Plugin| {
        let mut instance = plugin.instantiate(&settings, &environment(), None)?;
        route(&mut instance)
    };
    let engine = || Engine::try_new(EngineLimits { instances: 1 }, Compiler::InProcess).unwrap();
    for cache in [None, Some(&cache)] {
        let source = Source {
            name: "test".into(),
            bytes: guest("guest-scripted").into(),
        };
        let [first, second, third] = [engine(), engine(), engine()];
        let plugin = Plugin::load(&first, &source, cache).unwrap();
        let before = decide(&plugin);
        let moved = plugin.on(&second).unwrap();
        assert!(moved.is_on(&second) && !moved.is_on(&first));
        drop((plugin, first));
        assert_eq!(decide(&moved), before);
        // Moves the plugin twice before it is used again.
        let moved = moved.on(&engine()).unwrap().on(&third).unwrap();
        drop(second);
        assert_eq!(decide(&moved), before);
        assert_eq!(moved.sha256(), source.sha256());
    }
}

#[test]
fn a_plugin_loads_without_a_writable_cache() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let cache = CompiledCache::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    let plugin = load(guest("guest-hostile"), Some(&cache)).unwrap();
    assert_eq!(plugin.origin(), Origin::Compiled);
}

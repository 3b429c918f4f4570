//! `configure` of plugins that are written here as core modules: definitions that are too large for
//! their deadline, and definitions that depend on the servers of a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pointsman::plugin::{
    BackendName, BackendState, Backends, Environment, Fault, Plugin, ServerState, Settings, Source,
};
use pointsman::plugin_tools::component;

use crate::{ENGINE, environment, settings};

/// Functions that every module needs. The result of `configure` is at address 0, where zeros mean
/// success and `cacheable`. The host allocates memory from address 1024 on.
const RUNTIME: &str = r#"
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $start i32)
        (local.set $start (global.get $next))
        (global.set $next (i32.and
            (i32.add (i32.add (local.get $start) (local.get 3)) (i32.const 7))
            (i32.const -8)))
        (local.get $start))
    (func (export "pointsman:router/plugin@1.0.0#route") (param i32) (result i32) unreachable)
"#;

/// Loads a plugin for the world `router`, whose module consists of these imports, these other
/// parts, and the runtime.
fn module(imports: &str, parts: &str) -> Plugin {
    let text = format!("(module {imports} {RUNTIME} {parts})");
    let module = wat::parse_str(text).expect("the text is a module");
    let plugin = component::finish(&module).expect("the module fits the world");
    let source = Source {
        name: "module".to_owned(),
        bytes: plugin.into(),
    };
    Plugin::load(&ENGINE, &source, None).expect("the module is a plugin")
}

/// Bytes of each entry in [`listing`].
const ENTRY: usize = 65_535;

/// Returns a plugin whose `configure` defines a matcher with this many entries. All entries but the
/// last refer to the same bytes of the plugin's memory. The last entry is not UTF-8, so the call
/// traps when the host reads it.
fn listing(entries: usize) -> Plugin {
    module(
        r#"(import "pointsman:router/questions@1.0.0" "define-exact"
            (func $define (param i32 i32 i32 i32 i32 i32)))"#,
        &format!(
            r#"(memory (export "memory") 24)
            (data (i32.const 512) "host\ff")
            (func (export "pointsman:router/plugin@1.0.0#configure") (param i32 i32) (result i32)
                (local $entry i32)
                (memory.fill (i32.const 65536) (i32.const 97) (i32.const 65536))
                (local.set $entry (i32.const 131072))
                (loop
                    (i32.store (local.get $entry) (i32.const 65536))
                    (i32.store offset=4 (local.get $entry) (i32.const {ENTRY}))
                    (i32.store offset=8 (local.get $entry) (local.get $entry))
                    (local.set $entry (i32.add (local.get $entry) (i32.const 12)))
                    (br_if 0 (i32.lt_u (local.get $entry) (i32.const {last}))))
                (i32.store (local.get $entry) (i32.const 516))
                (i32.store offset=4 (local.get $entry) (i32.const 1))
                (call $define (i32.const 512) (i32.const 4) (i32.const 0)
                    (i32.const 131072) (i32.const {entries}) (i32.const 256))
                (i32.const 0))"#,
            last = 131_072 + 12 * (entries - 1)
        ),
    )
}

/// While the host reads the entries of a definition, no guest code runs that could be interrupted.
/// The host itself must therefore end the call at the deadline.
#[test]
fn a_huge_definition_ends_at_the_deadline_while_the_host_reads_it() {
    let environment = environment();
    let whole = listing(10).instantiate(&settings(""), &environment, None);
    let whole = whole.expect_err("the last entry is not UTF-8");
    assert_eq!(whole.kind(), "trap", "{whole}");
    // The entries have more than six gigabytes, which take seconds to read. The host ends the call
    // long before it reaches the last entry.
    let plugin = listing(100_000);
    let short = Duration::from_millis(30);
    let settings = Settings {
        configure_deadline: short,
        ..settings("")
    };
    let on_worker = Settings {
        configure_deadline: Duration::from_hours(1),
        deadline: short,
        ..settings.clone()
    };
    for fault in [
        plugin.instantiate(&settings, &environment, None).err(),
        plugin
            .instantiate_on_worker(&on_worker, &environment, None)
            .err(),
    ] {
        assert_eq!(fault, Some(Fault::Deadline));
    }
}

/// A backend `www` with a number of servers that changes.
#[derive(Debug)]
struct Growing(AtomicUsize);

impl Backends for Growing {
    fn names(&self) -> Vec<BackendName> {
        vec!["www".into()]
    }

    fn find(&self, name: &str) -> Option<BackendName> {
        (name == "www").then(|| name.into())
    }

    fn is_usable(&self, name: &str) -> bool {
        name == "www"
    }

    fn state(&self, _: &str) -> Option<BackendState> {
        None
    }

    fn servers(&self, _: &str) -> Option<Vec<ServerState>> {
        None
    }

    fn configured(&self, name: &str) -> Option<Vec<ServerState>> {
        let server = |number| ServerState::idle(format!("s{number}").into(), 1, None);
        let count = self.0.load(Ordering::Relaxed);
        (name == "www").then(|| (0..count).map(server).collect())
    }
}

/// Returns a plugin with two questions, which depend on the number of usable servers of `www` and
/// on the length of the list of its servers.
fn counting() -> Plugin {
    module(
        r#"(import "pointsman:router/questions@1.0.0" "define-share"
                (func $define (param i32 i32 i32 i32 i32 i32)))
            (import "pointsman:router/backends@1.0.0" "state"
                (func $state (param i32 i32 i32)))
            (import "pointsman:router/backends@1.0.0" "servers"
                (func $servers (param i32 i32 i32)))"#,
        r#"(memory (export "memory") 1)
            (data (i32.const 512) "www")
            (data (i32.const 520) "host")
            (func (export "pointsman:router/plugin@1.0.0#configure") (param i32 i32) (result i32)
                (call $state (i32.const 512) (i32.const 3) (i32.const 256))
                (call $define (i32.const 520) (i32.const 4) (i32.const 0) (i32.const 0)
                    (i32.load (i32.const 260)) (i32.const 288))
                (call $servers (i32.const 512) (i32.const 3) (i32.const 256))
                (call $define (i32.const 520) (i32.const 4) (i32.const 0) (i32.const 0)
                    (i32.load (i32.const 264)) (i32.const 288))
                (i32.const 0))"#,
    )
}

/// All instances of a version see the same servers while they are configured, so they define the
/// same questions. Only the next version sees servers that are added later.
#[test]
fn every_instance_of_a_version_is_configured_with_the_same_servers() {
    let plugin = counting();
    let settings = settings("");
    let backends = Arc::new(Growing(AtomicUsize::new(2)));
    let version = || Environment::new(Arc::clone(&backends) as _, Arc::default());
    let one = version();
    let first = plugin.instantiate(&settings, &one, None).unwrap();
    let shares = |questions: &pointsman::questions::Questions| {
        [0, 1].map(|number| questions.describe(number).to_string())
    };
    backends.0.store(3, Ordering::Relaxed);
    let known = Some(first.questions());
    plugin.instantiate(&settings, &one, known).unwrap();
    plugin
        .instantiate_on_worker(&settings, &one, known)
        .unwrap();
    // The same is true of an instance whose questions are not compared with known ones.
    let again = plugin.instantiate(&settings, &one, None).unwrap();
    assert_eq!(shares(again.questions()), shares(first.questions()));
    let two = version();
    let next = plugin.instantiate(&settings, &two, None).unwrap();
    for (before, now) in shares(first.questions())
        .iter()
        .zip(shares(next.questions()))
    {
        assert_ne!(*before, now);
    }
    let fault = plugin.instantiate(&settings, &two, known).unwrap_err();
    assert_eq!(fault.kind(), "questions", "{fault}");
}

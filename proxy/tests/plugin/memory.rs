//! Everything that an instance allocates counts as its memory and is bounded.

use pointsman::plugin::{Fault, Instance, Plugin, Settings, Source};

use crate::{ENGINE, environment, guest, settings};

fn load(name: &str, bytes: Vec<u8>) -> Plugin {
    let source = Source {
        name: name.to_owned(),
        bytes: bytes.into(),
    };
    Plugin::load(&ENGINE, &source, None).expect("the guest loads")
}

fn instantiate(plugin: &Plugin, memory: u64) -> Result<Instance, Fault> {
    let settings = Settings {
        memory,
        ..settings(r#"{"mode": "harmless"}"#)
    };
    plugin.instantiate(&settings, &environment(), None)
}

/// Returns the hostile guest with one more nested component and one instance of it.
fn with_component(text: &str) -> Plugin {
    let component = wat::parse_str(text).expect("the text is a component");
    let mut bytes = guest("guest-hostile");
    let inner = components(&bytes);
    section(4, &component, &mut bytes);
    // One instance of the component, without arguments.
    section(5, &[1, 0, inner, 0], &mut bytes);
    load("with-component", bytes)
}

fn section(id: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(id);
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(content);
}

/// Returns the number of components that a component defines.
fn components(bytes: &[u8]) -> u8 {
    let mut depth = 0;
    let mut count = 0;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.expect("the guest is valid") {
            wasmparser::Payload::ModuleSection { .. } => depth += 1,
            wasmparser::Payload::ComponentSection { .. } => {
                count += u8::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    count
}

#[test]
fn tables_are_memory() {
    // 60 tables of 200,000 elements.
    const TABLES: usize = 60 * 200_000 * 8;
    let plugin = load("guest-tables", guest("guest-tables"));
    for memory in [256 << 10, 64 << 20] {
        let fault = instantiate(&plugin, memory).expect_err("it needs more");
        assert!(matches!(fault, Fault::OutOfMemory { .. }), "{fault}");
    }
    let instance = instantiate(&plugin, 256 << 20).expect("there is room");
    assert!(instance.memory() > TABLES);
}

#[test]
fn globals_are_memory() {
    let globals = "(global (mut v128) (v128.const i64x2 1 1))".repeat(100_000);
    let plugin = with_component(&format!(
        "(component (core module $m {globals}) (core instance (instantiate $m)))"
    ));
    let plain = load("guest-hostile", guest("guest-hostile"));
    let memory = |plugin: &Plugin| {
        let instance = instantiate(plugin, 64 << 20).expect("there is room");
        instance.memory()
    };
    assert!(memory(&plugin) - memory(&plain) >= 100_000 * 16);
    let fault = instantiate(&plugin, 1 << 20).expect_err("it needs more");
    assert_eq!(fault, Fault::OutOfMemory { limit: 1 << 20 });
    assert!(instantiate(&plain, 2 << 20).is_ok());
}

/// Each handle of a resource that the component defines takes host memory.
#[test]
fn handles_are_bounded() {
    let hoarder = |count: u32| {
        with_component(&format!(
            r#"(component
                (type $r (resource (rep i32)))
                (core func $new (canon resource.new $r))
                (core module $m
                    (import "" "new" (func $new (param i32) (result i32)))
                    (func $hoard (local $i i32)
                        (loop
                            (drop (call $new (i32.const 1)))
                            (local.set $i (i32.add (local.get $i) (i32.const 1)))
                            (br_if 0 (i32.lt_u (local.get $i) (i32.const {count})))))
                    (start $hoard))
                (core instance (instantiate $m
                    (with "" (instance (export "new" (func $new)))))))"#
        ))
    };
    assert!(instantiate(&hoarder(1000), 64 << 20).is_ok());
    let fault = instantiate(&hoarder(100_000), 64 << 20).expect_err("too many");
    assert!(fault.to_string().contains("handle"), "{fault}");
}

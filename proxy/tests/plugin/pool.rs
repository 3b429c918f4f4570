//! The engine's reserves: instances run out before their memories, tables and core instances.

use pointsman::plugin::{Compiler, Engine, EngineLimits, Plugin, Source};
use serde_json::json;
use wasmparser::{Parser, Payload};

use crate::{environment, guest, route, settings};

/// Memories that a component may have.
const MEMORIES: u8 = 8;

/// The component with a module of one memory that is instantiated `count` times, and not used.
fn with_memories(component: &[u8], count: u8) -> Vec<u8> {
    // The module's index is that of the next one.
    let (mut depth, mut modules) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } => {
                modules += u8::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    // A core module with a memory of one page at least; then its instances, without arguments.
    let module = b"\0asm\x01\0\0\0\x05\x03\x01\x00\x01";
    let instances = [0, modules, 0].repeat(count.into());
    let mut bytes = component.to_vec();
    for (id, contents) in [(1, module.to_vec()), (2, [vec![count], instances].concat())] {
        bytes.extend([id, u8::try_from(contents.len()).unwrap()]);
        bytes.extend(contents);
    }
    bytes
}

#[test]
fn every_instance_has_room_for_all_of_its_memories() {
    const INSTANCES: u32 = 5;
    let limits = EngineLimits {
        instances: INSTANCES,
    };
    let engine = Engine::try_new(limits, Compiler::Here).unwrap();
    let load = |count| {
        let source = Source {
            name: "test".into(),
            bytes: with_memories(&guest("guest-scripted"), count).into(),
        };
        Plugin::load(&engine, &source, None)
    };
    // Beside its own.
    let plugin = load(MEMORIES - 1).unwrap();
    let settings = settings(json!({"cacheable": true, "root": "default"}).to_string());
    let start = || plugin.instantiate(&settings, &environment(), None);
    let mut instances: Vec<_> = (0..INSTANCES).map(|_| start().unwrap()).collect();
    for instance in &mut instances {
        route(instance).unwrap();
    }
    let refused = start().map(drop).unwrap_err();
    assert_eq!(refused.kind(), "instantiate", "{refused}");
    drop(instances.pop());
    start().unwrap();
    // One more than may be is refused before it runs, wherever it is loaded.
    assert!(load(MEMORIES).is_err());
}

//! Sizes of the engine's pools: the limit on instances is reached before the limits on memories,
//! tables and core instances.

use pointsman::plugin::{Compiler, Engine, EngineLimits, Plugin, Source};
use serde_json::json;
use wasmparser::{Parser, Payload};

use crate::{environment, guest, route, settings};

/// Maximum number of memories in a component.
const MEMORIES: u8 = 8;

/// Returns the component with another module, which has one memory, and `count` instances of that
/// module. Nothing uses them.
fn with_memories(component: &[u8], count: u8) -> Vec<u8> {
    // The new module's index is the number of existing modules.
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
    // A core module with a memory of at least one page, followed by its instances, without
    // arguments.
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
    let engine = Engine::try_new(limits, Compiler::InProcess).unwrap();
    let load = |count| {
        let source = Source {
            name: "test".into(),
            bytes: with_memories(&guest("guest-scripted"), count).into(),
        };
        Plugin::load(&engine, &source, None)
    };
    // The guest has one more memory of its own.
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
    // A component with one memory more than allowed is rejected when it is loaded, before it runs.
    assert!(load(MEMORIES).is_err());
}

//! Estimates how many bytes the host keeps for each instance of a component, in addition to
//! memories and tables.
//!
//! Globals, function pointers and similar data are in the engine's own memory, which wasmtime's
//! limiters do not count. Therefore they are counted here, from the component's sections, once per
//! load. The figures are upper bounds. Called by `load`, for components that have compiled.

use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Instance, Parser, Payload, TypeRef,
};

use crate::plugin::compile::tunables::MAX_INSTANCE_SIZE;

/// Size of wasmtime's data for each core instance.
const INSTANCE: usize = 1024;
/// Size of a function that is imported or that a table can point to.
const FUNCTION: usize = 32;
/// Size of a global, or of a pointer to an imported global, to a memory or to a table.
const ENTRY: usize = 32;
/// Size of a function that is passed between a component and the host.
const ADAPTED: usize = 128;

/// Size of a module or component that can be instantiated; None if another component provides it.
type Definition = Option<usize>;

/// Returns the number of bytes that the host keeps for each instance of `bytes`, which is a
/// component or a core module that will be encoded as one.
///
/// # Errors
/// `bytes` is not WebAssembly.
pub(super) fn of(bytes: &[u8]) -> Result<usize, BinaryReaderError> {
    let mut levels = vec![Level::default()];
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => levels.push(Level::module()),
            Payload::ComponentSection { .. } => levels.push(Level::default()),
            Payload::End(_) => {
                let Some(done) = levels.pop() else { break };
                match levels.last_mut() {
                    Some(parent) => parent.define(&done),
                    None => return Ok(done.size),
                }
            }
            payload => add(&mut levels, payload)?,
        }
    }
    Ok(levels.first().map_or(0, |level| level.size))
}

/// A module or a component that is being read.
#[derive(Default)]
struct Level {
    is_module: bool,
    size: usize,
    modules: Vec<Definition>,
    components: Vec<Definition>,
}

impl Level {
    fn module() -> Level {
        Level {
            is_module: true,
            size: INSTANCE,
            ..Level::default()
        }
    }

    fn define(&mut self, done: &Level) {
        let list = if done.is_module {
            &mut self.modules
        } else {
            &mut self.components
        };
        list.push(Some(done.size));
    }

    fn add(&mut self, count: u32, size: usize) {
        let bytes = usize::try_from(count).unwrap_or(usize::MAX);
        self.size = self.size.saturating_add(bytes.saturating_mul(size));
    }

    fn instantiate(&mut self, definition: Definition) {
        let size = definition.unwrap_or(MAX_INSTANCE_SIZE);
        self.size = self.size.saturating_add(size);
    }
}

fn at(list: &[Definition], index: u32) -> Definition {
    let index = usize::try_from(index).ok();
    index.and_then(|index| list.get(index).copied()).flatten()
}

/// Adds the size of one section to the innermost level.
fn add(levels: &mut [Level], payload: Payload<'_>) -> Result<(), BinaryReaderError> {
    let Some((level, outer)) = levels.split_last_mut() else {
        return Ok(());
    };
    match payload {
        // Sections of a module.
        Payload::ImportSection(imports) => {
            for import in imports.into_imports() {
                let size = match import?.ty {
                    TypeRef::Func(_) | TypeRef::FuncExact(_) => FUNCTION,
                    _ => ENTRY,
                };
                level.add(1, size);
            }
        }
        Payload::FunctionSection(section) => level.add(section.count(), FUNCTION),
        Payload::TableSection(section) => level.add(section.count(), ENTRY),
        Payload::MemorySection(section) => level.add(section.count(), ENTRY),
        Payload::GlobalSection(section) => level.add(section.count(), ENTRY),
        // Sections of a component.
        Payload::ComponentCanonicalSection(section) => level.add(section.count(), ADAPTED),
        Payload::InstanceSection(section) => {
            for instance in section {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    level.instantiate(at(&level.modules, module_index));
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate {
                    component_index, ..
                } = instance?
                {
                    level.instantiate(at(&level.components, component_index));
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                match import?.ty {
                    ComponentTypeRef::Module(_) => level.modules.push(None),
                    ComponentTypeRef::Component(_) => level.components.push(None),
                    _ => {}
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                alias_of(level, outer, &alias?);
            }
        }
        // An export adds an entry to the component's index space, like a definition.
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export?;
                match export.kind {
                    ComponentExternalKind::Module => {
                        level.modules.push(at(&level.modules, export.index));
                    }
                    ComponentExternalKind::Component => {
                        level.components.push(at(&level.components, export.index));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn alias_of(level: &mut Level, outer: &[Level], alias: &ComponentAlias<'_>) {
    match *alias {
        ComponentAlias::InstanceExport { kind, .. } => match kind {
            ComponentExternalKind::Module => level.modules.push(None),
            ComponentExternalKind::Component => level.components.push(None),
            _ => {}
        },
        ComponentAlias::Outer { kind, count, index } => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            // A count of 0 is the component itself, 1 the enclosing one.
            let from = match count.checked_sub(1) {
                None => Some(&*level),
                Some(above) => outer.iter().rev().nth(above),
            };
            match kind {
                ComponentOuterAliasKind::CoreModule => {
                    let found = from.and_then(|from| at(&from.modules, index));
                    level.modules.push(found);
                }
                ComponentOuterAliasKind::Component => {
                    let found = from.and_then(|from| at(&from.components, index));
                    level.components.push(found);
                }
                _ => {}
            }
        }
        ComponentAlias::CoreInstanceExport { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> usize {
        of(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn every_instance_of_a_module_counts() {
        let module =
            "(core module $m (global i32 (i32.const 0)) (func) (memory 1) (table 1 funcref))";
        let one = INSTANCE + FUNCTION + 3 * ENTRY;
        let check = |rest: &str, expected| {
            assert_eq!(
                size(&format!("(component {module} {rest})")),
                expected,
                "{rest}"
            );
        };
        check("", 0);
        check("(core instance (instantiate $m))", one);
        check(
            "(core instance (instantiate $m)) (core instance (instantiate $m))",
            2 * one,
        );
        check(
            "(component $c (alias outer 1 $m (core module $n)) (core instance (instantiate $n)))
             (instance (instantiate $c)) (instance (instantiate $c))",
            2 * one,
        );
        check(
            "(component $c (core module $k (func)) (export \"k\" (core module $k)))
             (instance $i (instantiate $c))
             (alias export $i \"k\" (core module $k))
             (core instance (instantiate $k))",
            MAX_INSTANCE_SIZE,
        );
    }

    #[test]
    fn nesting_multiplies_and_does_not_overflow() {
        let mut text = "(core module $m (func)) (core instance (instantiate $m))".to_owned();
        for _ in 0..70 {
            text = format!(
                "(component $c {text}) (instance (instantiate $c)) (instance (instantiate $c))"
            );
        }
        assert_eq!(size(&format!("(component {text})")), usize::MAX);
    }
}

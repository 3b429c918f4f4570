//! Components for a later 1.x than this host's: what it does not have yet traps if it is called.
//!
//! Toolchains for JavaScript and Python import every function of the world that they were given, used
//! or not, so a component must not be refused for what it merely imports.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use super::contract;
use super::fault::Refusal;
use super::host::State;

/// The linker for this component: `linker` itself unless the component imports from a later version.
pub(super) fn linker(
    linker: &Linker<State>,
    component: &Component,
) -> wasmtime::Result<Option<Linker<State>>> {
    let engine = component.engine();
    let mut grown = None;
    for (import, item) in component.component_type().imports(engine) {
        let Some((name, version)) = contract::parse(import) else {
            continue;
        };
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if version == contract::VERSION {
            continue;
        }
        let linker = grown.get_or_insert_with(|| linker.clone());
        let mut interface = linker.instance(&contract::interface(name))?;
        define_missing(&mut interface, component, name, &instance);
    }
    Ok(grown)
}

fn define_missing(
    interface: &mut LinkerInstance<'_, State>,
    component: &Component,
    interface_name: &str,
    wanted: &ComponentInstance,
) {
    for (name, item) in wanted.exports(component.engine()) {
        // A name that is taken is one that the host has: the error says so, and nothing else.
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let missing = format!("{interface_name}#{name}");
                let _ = interface.func_new(name, move |_, _, _, _| {
                    Err(Refusal::Missing(missing.clone()).into())
                });
            }
            ComponentItem::Resource(_) => {
                let _ = interface.resource(name, ResourceType::host::<()>(), |_, _| Ok(()));
            }
            _ => {}
        }
    }
}

//! Links components that were built for another 1.x contract than this host's. If the host lacks a
//! function that such a component imports, calling the function traps.
//!
//! Toolchains for JavaScript and Python import every function of the world that they target, used
//! or not. So a component must not be rejected merely for what it imports.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use super::contract;
use super::fault::Refusal;
use super::host::State;

/// Returns a linker for a component that imports from another version of the contract; None if
/// `linker` can be used unchanged.
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
        // Defining a name fails only if the host already defines it, so the error is ignored.
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

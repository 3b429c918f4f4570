//! Checks compiled code against the contract's world and links it to the host's functions.
//!
//! Reports mismatches in terms that a plugin's author understands. Runs no guest code.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::bindings::RouterPre;
use super::contract::{self, EXPORTED, OFFERED, PACKAGE, VERSION};
use super::engine::Engine;
use super::growth;
use super::host::State;
use super::wasi;
use crate::plugin::compile::error::CompileError;

/// Origin of a plugin's machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Compiled by this load.
    Compiled,
    /// Read from the directory of compiled code.
    Cached,
}

/// Reasons why a file cannot be a plugin of this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be compiled, because of the file or for another reason.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The component was built against another version of the contract.
    #[error(
        "the component is for {found}, this host serves {PACKAGE}@{VERSION} and every other 1.x: build it against one of those"
    )]
    Version {
        /// Name of the interface, as the component spells it.
        found: String,
    },
    /// The component imports something that the host does not offer.
    #[error(
        "the component imports {import}, which this host does not offer; {offer}: leave out what needs it, or let its toolchain stub it"
    )]
    Import {
        /// Name of the import, as the component spells it.
        import: String,
        /// Description of what the host offers.
        offer: String,
    },
    /// The component imports a known name with another type.
    #[error("the component's imports do not fit the host's: {0}")]
    ImportType(String),
    /// The component does not export the interface that a plugin must export.
    #[error(
        "the component does not export {PACKAGE}/{EXPORTED}@{VERSION}, which the world `router` requires; it exports {found}. Export the interface: in Rust with `pointsman_sdk::export!`, elsewhere as the SDK's template does"
    )]
    NoExport {
        /// Description of what the component exports.
        found: String,
    },
    /// The component exports the required interface, but with other functions.
    #[error("the export {PACKAGE}/{EXPORTED}@{VERSION} does not fit the world `router`: {0}")]
    ExportType(String),
}

impl LoadError {
    /// Returns whether the same file may load if it is tried again later, for example because the
    /// compiler was killed.
    pub fn is_transient(&self) -> bool {
        matches!(self, LoadError::Compile(error) if error.is_transient())
    }
}

/// A checked component.
pub(super) struct Loaded {
    pub(super) pre: RouterPre<State>,
    pub(super) origin: Origin,
    /// Whether the component imports any WASI interface.
    pub(super) wasi: bool,
}

impl Loaded {
    /// Returns the machine code, for [`reload`].
    ///
    /// # Errors
    /// There is not enough memory.
    pub(super) fn image(&self) -> wasmtime::Result<Vec<u8>> {
        self.pre.instance_pre().component().serialize()
    }
}

/// Loads and links compiled code that was stored earlier.
pub(super) fn reload(engine: &Engine, code: &[u8]) -> Result<Loaded, LoadError> {
    let component = deserialize(engine.wasmtime(), code).map_err(|error| unfit(&error))?;
    link(engine, &component, Origin::Cached)
}

/// Checks a component against the contract's world, and links its imports.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    origin: Origin,
) -> Result<Loaded, LoadError> {
    let wasi = check_imports(component)?;
    check_exports(component)?;
    let unfit = |error| LoadError::ImportType(format!("{error:#}"));
    let grown = growth::linker(engine.linker(), component).map_err(unfit)?;
    let linker = grown.as_ref().unwrap_or_else(|| engine.linker());
    let pre = linker.instantiate_pre(component).map_err(unfit)?;
    let pre = RouterPre::new(pre).map_err(|error| LoadError::ExportType(format!("{error:#}")))?;
    Ok(Loaded { pre, origin, wasi })
}

#[expect(
    unsafe_code,
    reason = "the code was made by `compiler`, and comes from there, or whole from a directory that only this user can write"
)]
pub(super) fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: see above; `cache` checks owner, mode and digest. The code is loaded from memory, not
    // mapped from the file: a change to a mapped file would change the code or kill the process.
    unsafe { Component::deserialize(engine, code) }
}

/// Returns the error for code that this engine rejects, for example because the component has too
/// many memories or tables.
pub(super) fn unfit(error: &wasmtime::Error) -> LoadError {
    CompileError::Refused(format!("the component does not compile: {error:#}")).into()
}

/// Returns whether the host offers the import `import`, judged by its name only.
pub(super) fn is_offered(import: &str) -> bool {
    if let Some((interface, version)) = contract::parse(import) {
        return contract::is_served(version)
            && (OFFERED.contains(&interface) || version != VERSION);
    }
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    is_wasi(name) && version.starts_with("0.2.")
}

fn is_wasi(name: &str) -> bool {
    let interface = name.strip_prefix("wasi:");
    interface.is_some_and(|interface| wasi::INTERFACES.contains(&interface))
}

/// Checks that the host offers every import. Returns whether the component imports WASI.
fn check_imports(component: &Component) -> Result<bool, LoadError> {
    let mut wasi = false;
    let engine = component.engine();
    for (import, _) in component.component_type().imports(engine) {
        if is_offered(import) {
            wasi |= import.starts_with("wasi:");
            continue;
        }
        if let Some((_, version)) = contract::parse(import)
            && !contract::is_served(version)
        {
            return Err(other_version(import));
        }
        return Err(LoadError::Import {
            import: import.to_owned(),
            offer: offer(),
        });
    }
    Ok(wasi)
}

fn check_exports(component: &Component) -> Result<(), LoadError> {
    let engine = component.engine();
    let mut found = Vec::new();
    let component = component.component_type();
    for (export, item) in component.exports(engine) {
        if let Some((EXPORTED, version)) = contract::parse(export)
            && matches!(item.ty, ComponentItem::ComponentInstance(_))
        {
            if contract::is_served(version) {
                return Ok(());
            }
            return Err(other_version(export));
        }
        found.push(export);
    }
    let found = if found.is_empty() {
        "nothing".to_owned()
    } else {
        found.join(", ")
    };
    Err(LoadError::NoExport { found })
}

fn other_version(found: &str) -> LoadError {
    LoadError::Version {
        found: found.to_owned(),
    }
}

fn offer() -> String {
    let own = OFFERED.map(contract::interface);
    let mut packages: Vec<&str> = wasi::INTERFACES
        .iter()
        .filter_map(|interface| interface.split('/').next())
        .collect();
    packages.dedup();
    format!(
        "it offers {}, and from WASI 0.2 {}",
        own.join(", "),
        packages.join(", ")
    )
}

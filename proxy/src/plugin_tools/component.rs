//! Turns a compiler's output into a component that can be shipped, and describes the contents of a
//! file.
//!
//! Owns the choice of custom sections that are kept, and how imports and exports are described to
//! the user. The plugin host decides whether a component fits the contract. Runs no guest code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::mem;

use thiserror::Error;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{BinaryReaderError, Encoding, KnownCustom, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// The contract file that new projects receive.
pub const WIT: &str = include_str!("../../../wit/router.wit");

/// World that plugins are built for.
const WORLD: &str = "router";

/// Prefix of the names of the custom sections that carry a module's world.
const METADATA: &str = "component-type";

/// Custom sections that are kept: names for backtraces, and the tools that produced the file.
const KEPT: [&str; 3] = ["name", "component-name", "producers"];

/// Identifiers of the sections that contain a whole module or component.
const CORE_MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;

/// Reasons why no component could be created.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// The file is not WebAssembly, or is damaged.
    #[error("it is not WebAssembly: {0}")]
    Malformed(#[from] BinaryReaderError),
    /// The module lacks something that the contract's world requires, or has it with another type.
    #[error("the module does not fit the contract: {0}")]
    Unfit(String),
}

/// Contents of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Whether the file is a component rather than a core module.
    pub is_component: bool,
    /// Whether a core module has metadata that names its world.
    pub has_metadata: bool,
    /// Names of imports, in order. For a core module, these are the names of the imported modules,
    /// each once.
    pub imports: Vec<String>,
    /// Names of exports, in order.
    pub exports: Vec<String>,
    /// Languages and tools that produced the file, according to its own metadata.
    pub made_with: BTreeSet<String>,
    /// Number of core modules within a component.
    pub modules: usize,
    /// Bytes in custom sections that have no use at run time.
    pub strippable: usize,
}

impl ComponentInfo {
    /// Analyzes a file.
    ///
    /// # Errors
    /// The file is not WebAssembly, or is damaged.
    pub fn of(bytes: &[u8]) -> Result<ComponentInfo, BinaryReaderError> {
        let mut info = ComponentInfo::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } if depth == 0 => {
                    info.is_component = encoding == Encoding::Component;
                }
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    info.modules += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ImportSection(imports) if depth == 0 => {
                    for import in imports.into_imports() {
                        let module = import?.module.to_owned();
                        if !info.imports.contains(&module) {
                            info.imports.push(module);
                        }
                    }
                }
                Payload::ExportSection(exports) if depth == 0 => {
                    for export in exports {
                        info.exports.push(export?.name.to_owned());
                    }
                }
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        info.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        info.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    let name = section.name();
                    info.has_metadata |= depth == 0 && name.starts_with(METADATA);
                    if !is_kept(name) {
                        info.strippable += section.range().len();
                    }
                    if let KnownCustom::Producers(fields) = section.as_known() {
                        for field in fields {
                            for value in field?.values {
                                let value = value?;
                                let made_with = format!("{} {}", value.name, value.version);
                                info.made_with.insert(made_with.trim().to_owned());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(info)
    }
}

/// Turns a compiler's output into a component without sections that have no use at run time.
///
/// A component stays a component. A core module that does not name its world is assumed to
/// implement the contract's world. A module built for WASI 0.1 is combined with the adapter to 0.2.
///
/// # Errors
/// [`ComponentError`].
pub fn finish(bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let info = ComponentInfo::of(bytes)?;
    if info.is_component {
        return Ok(strip(bytes)?);
    }
    let unfit = |error| ComponentError::Unfit(format!("{error:#}"));
    let mut module = bytes.to_vec();
    if !info.has_metadata {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("router.wit", WIT).map_err(unfit)?;
        let world = resolve
            .select_world(&[package], Some(WORLD))
            .map_err(unfit)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(unfit)?;
    }
    let mut encoder = ComponentEncoder::default().validate(true);
    if info
        .imports
        .iter()
        .any(|module| module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
    {
        encoder = encoder
            .adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
            .map_err(unfit)?;
    }
    let component = encoder
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(unfit)?;
    Ok(strip(&component)?)
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || name.starts_with(METADATA)
}

/// Removes custom sections that have no use at run time, including those of nested modules.
fn strip(bytes: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut output = Vec::with_capacity(bytes.len());
    // Output of the enclosing levels, each with the identifier of the section that contains the
    // nested level.
    let mut outer: Vec<(u8, Vec<u8>)> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::Version { range, .. } => output.extend_from_slice(&bytes[range.clone()]),
            Payload::ModuleSection { .. } => {
                outer.push((CORE_MODULE_SECTION, mem::take(&mut output)));
                continue;
            }
            Payload::ComponentSection { .. } => {
                outer.push((COMPONENT_SECTION, mem::take(&mut output)));
                continue;
            }
            Payload::End(_) => {
                if let Some((section, enclosing)) = outer.pop() {
                    let part = mem::replace(&mut output, enclosing);
                    push_section(&mut output, section, &part);
                }
                continue;
            }
            Payload::CustomSection(section) if !is_kept(section.name()) => continue,
            _ => {}
        }
        if let Some((section, range)) = payload.as_section() {
            push_section(&mut output, section, &bytes[range]);
        }
    }
    Ok(output)
}

fn push_section(output: &mut Vec<u8>, section: u8, contents: &[u8]) {
    output.push(section);
    // Section lengths are encoded as LEB128.
    let mut length = contents.len();
    while length >= 0x80 {
        output.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    output.push(u8::try_from(length).unwrap_or_default());
    output.extend_from_slice(contents);
}

/// Formats a number of bytes for display.
pub fn size(bytes: usize) -> String {
    let mut text = String::new();
    // Separates groups of three digits, since sizes are compared by eye.
    for (index, digit) in bytes.to_string().chars().rev().enumerate() {
        if index > 0 && index % 3 == 0 {
            text.insert(0, ',');
        }
        text.insert(0, digit);
    }
    let _ = write!(text, " bytes");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    static HOST_SUFFIX: &[u8] = include_bytes!("../../../plugins/host-suffix/host-suffix.wasm");

    #[test]
    fn sizes_are_grouped() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1,000 bytes"),
            (1_234_567, "1,234,567 bytes"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn a_component_is_taken_apart() {
        let info = ComponentInfo::of(HOST_SUFFIX).unwrap();
        assert!(info.is_component);
        assert!(info.modules >= 1);
        assert_eq!(info.exports, ["pointsman:router/plugin@1.0.0"]);
        let imports = &info.imports;
        assert!(imports.contains(&"pointsman:router/request@1.0.0".to_owned()));
        let by_rust = |tool: &String| tool.starts_with("Rust") || tool.starts_with("rustc");
        assert!(info.made_with.iter().any(by_rust), "{info:?}");
    }

    #[test]
    fn a_stripped_component_is_otherwise_the_same_and_has_nothing_left_to_strip() {
        let mut padded = HOST_SUFFIX.to_vec();
        let mut section = vec![6];
        section.extend(b".debug");
        section.extend([7; 300]);
        push_section(&mut padded, 0, &section);
        assert!(ComponentInfo::of(&padded).unwrap().strippable >= 300);

        let stripped = finish(&padded).unwrap();
        assert_eq!(ComponentInfo::of(&stripped).unwrap().strippable, 0);
        let expected = ComponentInfo {
            strippable: 0,
            ..ComponentInfo::of(HOST_SUFFIX).unwrap()
        };
        assert_eq!(ComponentInfo::of(&stripped).unwrap(), expected);
        // A second run changes nothing, since only custom sections are removed.
        assert_eq!(finish(&stripped).unwrap(), stripped);
        wasmparser::validate(&stripped).unwrap();
    }

    #[test]
    fn a_module_without_the_exports_of_the_world_is_refused() {
        let error = finish(b"\0asm\x01\0\0\0").unwrap_err().to_string();
        assert!(error.contains("does not fit the contract"), "{error}");
        assert!(matches!(
            finish(b"\x7fELF"),
            Err(ComponentError::Malformed(_))
        ));
    }
}

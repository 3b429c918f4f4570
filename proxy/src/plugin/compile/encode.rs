//! Turns a file's bytes into a component.
//!
//! A component is returned unchanged. A core module that carries its world in a custom section, as
//! wit-bindgen writes it, is encoded as a component. For any other input, the error says what the
//! file is. Called by `code`, and for snapshots.

use std::borrow::Cow;

use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

/// Prefix of the names of the custom sections that carry a module's world.
const METADATA_PREFIX: &str = "component-type";

/// Module name that a `wasm32-wasip1` build imports from.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Reasons why a file is not a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::plugin) enum EncodeError {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file is in the text format.
    #[error("the file is WebAssembly text; assemble it (wasm-tools parse) first")]
    Text,
    /// The file is neither binary (`\0asm`) nor text.
    #[error("the file is not WebAssembly: it does not begin with \\0asm")]
    NotWasm,
    /// The file is broken or truncated.
    #[error("the file is damaged: {0}")]
    Malformed(String),
    /// The file is a core module without metadata that names its world.
    #[error(
        "the file is a core module without component-type metadata: build it with wit-bindgen or an SDK, or make it a component: `pointsman plugin build FILE --output PLUGIN`"
    )]
    NoMetadata,
    /// The file is a core module that was built for WASI 0.1.
    #[error(
        "the file is a core module that imports wasi_snapshot_preview1: build it for wasm32-wasip2 or wasm32-unknown-unknown, or let `pointsman plugin build FILE --output PLUGIN` make it a component with the adapter to WASI 0.2"
    )]
    Preview1,
    /// The module does not fit the world that its metadata names.
    #[error("the core module cannot be turned into a component: {0}")]
    Encode(String),
}

/// Returns the component in `bytes`.
///
/// # Errors
/// [`EncodeError`], which says what the file is instead.
pub(in crate::plugin) fn component(bytes: &[u8]) -> Result<Cow<'_, [u8]>, EncodeError> {
    if bytes.is_empty() {
        return Err(EncodeError::Empty);
    }
    if !bytes.starts_with(b"\0asm") {
        let start = bytes.trim_ascii_start();
        let is_text = start.starts_with(b"(") || start.starts_with(b";;");
        return Err(if is_text {
            EncodeError::Text
        } else {
            EncodeError::NotWasm
        });
    }
    match survey(bytes)? {
        Survey::Component => Ok(Cow::Borrowed(bytes)),
        Survey::Module { preview1: true, .. } => Err(EncodeError::Preview1),
        Survey::Module {
            metadata: false, ..
        } => Err(EncodeError::NoMetadata),
        Survey::Module { .. } => encode(bytes).map(Cow::Owned),
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, EncodeError> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| EncodeError::Encode(format!("{error:#}")))
}

/// Kind of a binary.
enum Survey {
    Component,
    Module { metadata: bool, preview1: bool },
}

fn survey(bytes: &[u8]) -> Result<Survey, EncodeError> {
    let malformed =
        |error: wasmparser::BinaryReaderError| EncodeError::Malformed(error.to_string());
    let (mut metadata, mut preview1) = (false, false);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => return Ok(Survey::Component),
            Payload::CustomSection(section) => {
                metadata |= section.name().starts_with(METADATA_PREFIX);
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    preview1 |= import.map_err(malformed)?.module == PREVIEW1;
                }
            }
            _ => {}
        }
    }
    Ok(Survey::Module { metadata, preview1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_file_that_is_no_component_is_refused_with_the_reason() {
        let check = |bytes: &[u8], expected| assert_eq!(component(bytes).unwrap_err(), expected);
        check(b"", EncodeError::Empty);
        check(b"\x7fELF", EncodeError::NotWasm);
        check(b"#!/bin/sh", EncodeError::NotWasm);
        check(b" \n(component)", EncodeError::Text);
        check(MODULE, EncodeError::NoMetadata);
        for cut in 4..8 {
            let error = component(&MODULE[..cut]).unwrap_err();
            assert!(matches!(error, EncodeError::Malformed(_)), "{error}");
        }
        assert_eq!(component(COMPONENT), Ok(Cow::Borrowed(COMPONENT)));
    }

    #[test]
    fn a_preview_1_module_is_reported_as_such() {
        let mut module = MODULE.to_vec();
        // A type section with `() -> ()`, then one import of that type.
        module.extend([1, 4, 1, 0x60, 0, 0]);
        let names = [&[22], PREVIEW1.as_bytes(), &[1], b"f"].concat();
        module.extend([2, u8::try_from(names.len() + 3).unwrap(), 1]);
        module.extend(names);
        module.extend([0, 0]);
        assert_eq!(component(&module).unwrap_err(), EncodeError::Preview1);
    }
}

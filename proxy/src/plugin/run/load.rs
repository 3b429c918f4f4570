//! Loads a plugin's file as a component that is ready to run.
//!
//! Passes the file to the compiler, or reads compiled code from disk. Runs no guest code. Called
//! off the worker threads: compiling can take seconds.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::code::Code;
use super::engine::Engine;
use super::footprint;
use super::link::{LoadError, Origin, deserialize, link, unfit};
use crate::plugin::compile::cache::{CompiledCache, Key, hex};

/// A plugin's file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name as in the configuration, for logs.
    pub name: String,
    /// A component, or a core module with its world in a custom section.
    pub bytes: Cow<'static, [u8]>,
}

impl Source {
    /// Returns the SHA-256 of the bytes, in hex.
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }
}

/// Returns the SHA-256 of `bytes`, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Loads a plugin's file. `sha256` is the digest of `bytes`.
pub(super) fn load(
    engine: &Engine,
    bytes: &[u8],
    sha256: &str,
    cache: Option<&CompiledCache>,
) -> Result<Code, LoadError> {
    let stored = cache.map(|cache| {
        let compiler = engine.wasmtime().precompile_compatibility_hash();
        (cache.clone(), Key::new(sha256, &compiler))
    });
    let (component, origin) = compile(engine, bytes, stored.as_ref())?;
    let loaded = link(engine, &component, origin)?;
    let footprint = footprint::of(bytes).map_err(|error| unfit(&error.into()))?;
    Ok(Code::new(loaded, footprint, stored))
}

fn compile(
    engine: &Engine,
    bytes: &[u8],
    stored: Option<&(CompiledCache, Key)>,
) -> Result<(Component, Origin), LoadError> {
    if let Some((cache, key)) = stored
        && let Some(code) = cache.load(key)
    {
        match deserialize(engine.wasmtime(), &code) {
            Ok(component) => return Ok((component, Origin::Cached)),
            Err(error) => tracing::warn!(%error, "compiled plugin cannot be used, compiling again"),
        }
    }
    let code = engine.compiler().compile(bytes)?;
    if let Some((cache, key)) = stored {
        cache.store(key, &code);
    }
    let component = deserialize(engine.wasmtime(), &code).map_err(|error| unfit(&error))?;
    Ok((component, Origin::Compiled))
}

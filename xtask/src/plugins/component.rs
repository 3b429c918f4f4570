//! Conversion of a core module that carries its WIT to a component.
//!
//! Owns the encoding and the check that the result exports the contract. Must not depend on cargo
//! or on files. Called by `plugins`.

use anyhow::{Context as _, ensure};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The interface that a plugin exports, whatever its version.
const EXPORT: &str = "pointsman:router/plugin@";

/// Encodes and validates a component.
///
/// # Errors
/// The module has no component-type metadata, is invalid, or does not export the contract's
/// `plugin`.
pub(super) fn encode(core: &[u8]) -> anyhow::Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .module(core)?
        .validate(true)
        .encode()?;
    let decoded = wit_component::decode(&component).context("cannot read the component back")?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        anyhow::bail!("it is a package of WIT, not a component");
    };
    let world = &resolve.worlds[world];
    ensure!(
        world
            .exports
            .keys()
            .any(|key| resolve.name_world_key(key).starts_with(EXPORT)),
        "it does not export {EXPORT}…: does its source call `pointsman_sdk::export!`?"
    );
    Ok(component)
}

//! Plugins that are part of the binary, as built by `cargo xtask plugins`.
//!
//! `config` defines their names. Called by `loader`.

/// Returns the component with this name, one of
/// [`BUNDLED_PLUGINS`](crate::config::BUNDLED_PLUGINS). Returns an empty slice for any other name;
/// `config` refuses such names.
pub(super) fn component(name: &str) -> &'static [u8] {
    macro_rules! components {
        ($($name:literal)*) => {
            match name {
                $($name => {
                    include_bytes!(concat!("../../../plugins/", $name, "/", $name, ".wasm"))
                })*
                _ => &[],
            }
        };
    }
    components! {
        "address-list" "canary" "header-match" "headers" "host-suffix" "json-route" "maintenance"
        "path-prefix" "redirect" "table-route"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUNDLED_PLUGINS;

    #[test]
    fn every_name_has_its_component() {
        for name in BUNDLED_PLUGINS {
            assert!(component(name).starts_with(b"\0asm"), "{name}");
        }
    }
}

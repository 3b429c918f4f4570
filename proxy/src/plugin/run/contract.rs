//! Names and version of the plugin contract, and the contract versions that this host supports.

/// Name of the contract's package.
pub(super) const PACKAGE: &str = "pointsman:router";

/// The contract version that this host implements. The host also runs components built for every
/// other 1.x.
pub(super) const VERSION: &str = "1.0.0";

/// Interfaces of the contract that the host offers.
pub(super) const OFFERED: [&str; 4] = ["request", "questions", "backends", "log"];

/// Interface that a plugin exports.
pub(super) const EXPORTED: &str = "plugin";

/// Returns the full name of an interface, with the host's version of the contract.
pub(super) fn interface(name: &str) -> String {
    format!("{PACKAGE}/{name}@{VERSION}")
}

/// Splits the name of a contract interface into the name without its version, and the version.
pub(super) fn parse(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

/// Returns whether a component for this version of the contract runs on this host. Every 1.x does,
/// since releases of 1.x only add functions and interfaces.
pub(super) fn is_served(version: &str) -> bool {
    let release = version
        .split_once('+')
        .map_or(version, |(release, _)| release);
    let mut numbers = release.split('.').map(|number| {
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then_some(number)
    });
    let first = numbers.next().flatten();
    first == Some("1") && numbers.by_ref().take(2).all(|number| number.is_some()) && {
        let dots = release.bytes().filter(|byte| *byte == b'.').count();
        dots == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_of_1_is_served() {
        for version in ["1.0.0", "1.0.1", "1.9.0", "1.10.27", "1.0.0+build"] {
            assert!(is_served(version), "{version}");
        }
        for version in [
            "",
            "1",
            "1.0",
            "0.1.0",
            "2.0.0",
            "1.0.0-rc.1",
            "1.a.0",
            "1..0",
            "1.0.0.0",
            "10.0.0",
        ] {
            assert!(!is_served(version), "{version}");
        }
    }

    #[test]
    fn names_are_split() {
        let check = |name, expected| assert_eq!(parse(name), expected, "{name}");
        check("pointsman:router/log@1.0.0", Some(("log", "1.0.0")));
        check("pointsman:router/log", Some(("log", "")));
        check("pointsman:routers/log@1.0.0", None);
        check("wasi:io/poll@0.2.0", None);
    }
}

//! Names from `/etc/hosts`, and names that never need a DNS query.
//!
//! This module does no I/O: `resolver` reads the file.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names with their addresses, from a file in the format of hosts(5).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Parses the file. Skips invalid lines, as the C library does.
    pub(super) fn parse(text: &[u8]) -> Hosts {
        let text = String::from_utf8_lossy(text);
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else {
                continue;
            };
            for name in words {
                let addresses = hosts.entry(canonical(name)).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Hosts(hosts)
    }

    /// Returns the addresses of `name`; empty if the file does not contain it.
    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        let addresses = self.0.get(&canonical(name));
        addresses.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the loopback addresses if `name` is `localhost` or a subdomain of it. DNS is never
/// queried for these names (RFC 6761, section 6.3).
pub(super) fn loopback(name: &str) -> Option<[IpAddr; 2]> {
    let name = canonical(name);
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local.then_some([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

/// Returns the name in lower case and without a final dot. (A final dot only means that no search
/// domain is to be added.)
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_names_of_the_file() {
        let hosts = Hosts::parse(
            b"127.0.0.1\tlocalhost\n\
            # 10.0.0.9 old\n\
            10.0.0.1 One one.test.tld # the first\n\
            10.0.0.2   one.test.tld\r\n\
            10.0.0.2 one.test.tld\n\
            fd00::1 one.test.tld\n\
            nonsense two\n\
            fe80::1%eth0 two\n\
            10.0.0.3 \xff three\n\
            10.0.0.4\n\
            \n",
        );
        let check = |name: &str, expected: &[&str]| {
            let expected: Vec<IpAddr> = expected.iter().map(|it| it.parse().unwrap()).collect();
            assert_eq!(hosts.addresses(name), expected, "{name}");
        };
        check("localhost", &["127.0.0.1"]);
        check("one", &["10.0.0.1"]);
        check("one.test.tld", &["10.0.0.1", "10.0.0.2", "fd00::1"]);
        check("one.test.tld.", &["10.0.0.1", "10.0.0.2", "fd00::1"]);
        check("ONE", &["10.0.0.1"]);
        check("three", &["10.0.0.3"]);
        check("two", &[]);
        check("old", &[]);
        check("the", &[]);
        check("", &[]);
    }

    #[test]
    fn knows_this_host() {
        for (name, expected) in [
            ("localhost", true),
            ("localhost.", true),
            ("www.localhost", true),
            ("LOCALHOST", true),
            ("localhost.test.tld", false),
            ("notlocalhost", false),
            ("", false),
        ] {
            assert_eq!(loopback(name).is_some(), expected, "{name}");
        }
    }
}

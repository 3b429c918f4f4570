//! Preference between the address families of a host.
//!
//! Sends nothing: it only queries the kernel for the route that a packet would take.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether an address is used first, if its host has addresses of both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Preference {
    /// The address is of the preferred family, or its host has addresses of only one family.
    Preferred,
    /// The address is of the other family.
    Fallback,
}

/// Returns the preference for IPv4 and for IPv6 among the addresses of one host.
///
/// IPv6 is preferred if there is a route to it, as in the order of `getaddrinfo` (RFC 6724, section
/// 6).
pub(super) fn preferences(addresses: &[IpAddr]) -> Families {
    decide(addresses, has_route)
}

/// The preference of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    ipv4: Preference,
    ipv6: Preference,
}

impl Families {
    pub(super) fn of(self, address: IpAddr) -> Preference {
        match address {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        }
    }
}

fn decide(addresses: &[IpAddr], has_route: impl Fn(Ipv6Addr) -> bool) -> Families {
    let mut families = Families {
        ipv4: Preference::Preferred,
        ipv6: Preference::Preferred,
    };
    if !addresses.iter().any(IpAddr::is_ipv4) || !addresses.iter().any(IpAddr::is_ipv6) {
        return families;
    }
    let is_reachable = addresses.iter().any(|address| match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => has_route(*address),
    });
    if is_reachable {
        families.ipv4 = Preference::Fallback;
    } else {
        families.ipv6 = Preference::Fallback;
    }
    families
}

/// Returns whether this host has a route to `destination`, and a suitable source address.
fn has_route(destination: Ipv6Addr) -> bool {
    // Connecting a datagram socket only selects a route and a source address. The port, which is
    // that of the discard service, has no influence.
    let source = || -> std::io::Result<SocketAddr> {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.connect((destination, 9))?;
        socket.local_addr()
    };
    match source().map(|address| address.ip()) {
        Ok(IpAddr::V6(source)) => suits(source, destination),
        Ok(IpAddr::V4(_)) | Err(_) => false,
    }
}

/// Returns whether packets from `source` can be expected to reach `destination`. A host with only
/// local or private addresses often has a default route that leads nowhere (RFC 6724, section 5,
/// rules 2 and 5).
fn suits(source: Ipv6Addr, destination: Ipv6Addr) -> bool {
    let is_wider = |narrow: fn(&Ipv6Addr) -> bool| narrow(&source) && !narrow(&destination);
    !is_wider(Ipv6Addr::is_loopback)
        && !is_wider(Ipv6Addr::is_unicast_link_local)
        && !is_wider(Ipv6Addr::is_unique_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_comes_first_where_it_works() {
        use Preference::{Fallback, Preferred};
        let check = |addresses: &[&str], route: bool, ipv4, ipv6| {
            let parsed: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
            let expected = Families { ipv4, ipv6 };
            assert_eq!(decide(&parsed, |_| route), expected, "{addresses:?}");
        };
        check(&["10.0.0.1", "fd00::1"], true, Fallback, Preferred);
        check(&["10.0.0.1", "fd00::1"], false, Preferred, Fallback);
        check(&["10.0.0.1"], false, Preferred, Preferred);
        check(&["fd00::1", "fd00::2"], false, Preferred, Preferred);
        check(&[], false, Preferred, Preferred);
    }

    #[test]
    fn one_address_with_a_route_is_enough() {
        let addresses = ["10.0.0.1", "fd00::1", "fd00::2"].map(|it| it.parse().unwrap());
        let families = decide(&addresses, |address| address.segments()[7] == 2);
        assert_eq!(families.of(addresses[0]), Preference::Fallback);
        assert_eq!(families.of(addresses[1]), Preference::Preferred);
    }

    #[test]
    fn private_sources_do_not_reach_the_world() {
        for (source, destination, expected) in [
            ("2001:db8::1", "2001:db8:1::1", true),
            ("2001:db8::1", "fd00::1", true),
            ("fd00::1", "fd01::1", true),
            ("fd00::1", "2001:db8::1", false),
            ("fe80::1", "2001:db8::1", false),
            ("fe80::1", "fe80::2", true),
            ("::1", "::1", true),
            ("::1", "2001:db8::1", false),
        ] {
            let [from, to] = [source, destination].map(|it| it.parse().unwrap());
            assert_eq!(suits(from, to), expected, "{source} to {destination}");
        }
    }

    #[test]
    fn loopback_is_reachable_only_with_ipv6() {
        let has_ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(has_route(Ipv6Addr::LOCALHOST), has_ipv6);
    }
}

//! Networks of IP addresses, and lists of them.
//!
//! Owns their text form, and the look-up of the most specific one. Prepared in `configure`, so
//! that asking costs a few comparisons however long the list is.

use std::cmp::Reverse;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Addresses that begin alike, as in `192.0.2.0/24`; a single one, as in `2001:db8::1`.
///
/// IPv6 addresses that stand for IPv4 ones (`::ffff:192.0.2.0/120`) are those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    family: Family,
    /// In the low bits; none is set beyond the prefix.
    bits: u128,
    prefix: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// `bits` without those beyond the prefix.
    fn masked(self, bits: u128, prefix: u8) -> u128 {
        let rest = u32::from(self.width().saturating_sub(prefix));
        // All of 128 bits cannot be shifted out at once.
        bits.checked_shr(rest)
            .and_then(|kept| kept.checked_shl(rest))
            .unwrap_or(0)
    }
}

fn bits_of(address: IpAddr) -> (Family, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (Family::V4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

impl Network {
    /// Whether `address` is one of its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (family, bits) = bits_of(address);
        family == self.family && family.masked(bits, self.prefix) == self.bits
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a network: write an address, or one with the length of a prefix, as \
                 in 192.0.2.0/24"
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| wrong())?;
        let (family, bits) = bits_of(written);
        let longest = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => family.width(),
            Some(digits) => {
                let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
                let length = digits.parse::<u8>().ok().filter(|_| is_number);
                let length = length.filter(|&length| length <= longest);
                // An IPv4 address in IPv6's form has 96 bits before it.
                let beyond = longest.saturating_sub(family.width());
                length
                    .and_then(|length| length.checked_sub(beyond))
                    .ok_or_else(wrong)?
            }
        };
        let network = Self {
            family,
            bits: family.masked(bits, prefix),
            prefix,
        };
        if network.bits == bits {
            Ok(network)
        } else {
            Err(format!(
                "{text:?} has bits beyond its prefix: the network is {network}"
            ))
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match self.family {
            // Its bits were those of one.
            Family::V4 => Ipv4Addr::from_bits(u32::try_from(self.bits).unwrap_or_default()).into(),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(self.bits)),
        };
        write!(f, "{address}/{}", self.prefix)
    }
}

/// Networks, each with what it stands for; the most specific one that has an address counts.
#[derive(Clone, Debug)]
pub struct Networks<T> {
    /// From the longest prefix to the shortest.
    levels: Vec<Level<T>>,
}

#[derive(Clone, Debug)]
struct Level<T> {
    family: Family,
    prefix: u8,
    /// In the order of their bits, none twice.
    networks: Vec<(u128, T)>,
}

impl<T> Networks<T> {
    /// A list of networks.
    ///
    /// # Errors
    /// A network that is in it twice.
    pub fn new(networks: impl IntoIterator<Item = (Network, T)>) -> Result<Self, Network> {
        let mut levels: Vec<Level<T>> = Vec::new();
        for (network, value) in networks {
            let Network {
                family,
                bits,
                prefix,
            } = network;
            let alike = |level: &&mut Level<T>| level.family == family && level.prefix == prefix;
            match levels.iter_mut().find(alike) {
                Some(level) => level.networks.push((bits, value)),
                None => levels.push(Level {
                    family,
                    prefix,
                    networks: vec![(bits, value)],
                }),
            }
        }
        levels.sort_by_key(|level| Reverse(level.prefix));
        for level in &mut levels {
            level.networks.sort_by_key(|(bits, _)| *bits);
            let mut pairs = level.networks.iter().zip(level.networks.iter().skip(1));
            if let Some(((bits, _), _)) = pairs.find(|((a, _), (b, _))| a == b) {
                return Err(Network {
                    family: level.family,
                    bits: *bits,
                    prefix: level.prefix,
                });
            }
        }
        Ok(Self { levels })
    }

    /// Whether it has no network.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// What the most specific network that has `address` stands for.
    pub fn find(&self, address: IpAddr) -> Option<&T> {
        let (family, bits) = bits_of(address);
        let levels = self.levels.iter().filter(|level| level.family == family);
        levels
            .filter_map(|level| {
                let bits = family.masked(bits, level.prefix);
                let found = level
                    .networks
                    .binary_search_by_key(&bits, |(bits, _)| *bits);
                level.networks.get(found.ok()?)
            })
            .map(|(_, value)| value)
            .next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_is_read_and_written() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert_eq!(
                text.parse::<Network>().map(|n| n.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in [
            "",
            "a",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/-1",
            "::/129",
            "192.0.2",
            "192.0.2.0/24/1",
            " ::1",
            "::ffff:192.0.2.0/24",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.contains("is not a network"), "{text}: {error}");
        }
        let error = "192.0.2.1/24".parse::<Network>().unwrap_err();
        assert!(error.ends_with("the network is 192.0.2.0/24"), "{error}");
    }

    #[test]
    fn the_most_specific_network_counts() {
        let list = |texts: &[&str]| {
            let networks = texts
                .iter()
                .map(|text| (text.parse().unwrap(), (*text).to_owned()));
            Networks::new(networks)
        };
        let networks = list(&[
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "2001:db8::/32",
        ]);
        let networks = networks.unwrap();
        for (address, expected) in [
            ("10.1.2.3", Some("10.1.2.3")),
            ("10.1.2.4", Some("10.1.0.0/16")),
            ("10.2.0.0", Some("10.0.0.0/8")),
            ("::ffff:10.2.0.0", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("0.0.0.0/0")),
            ("2001:db8::1", Some("2001:db8::/32")),
            ("2001:db9::1", None),
        ] {
            let found = networks.find(address.parse().unwrap());
            assert_eq!(found.map(String::as_str), expected, "{address}");
        }
        let twice = list(&["10.0.0.0/8", "192.0.2.1", "10.0.0.0/8"]).unwrap_err();
        assert_eq!(twice.to_string(), "10.0.0.0/8");
    }

    proptest! {
        /// The list finds what asking each network finds.
        #[test]
        fn a_list_finds_what_its_networks_contain(
            seeds in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..20),
            address in any::<u32>(),
        ) {
            let mut all: Vec<Network> = seeds
                .iter()
                .map(|&(bits, prefix)| Network {
                    family: Family::V4,
                    // Close together, so that some contain others.
                    bits: Family::V4.masked(u128::from(bits & 0xf00f_0003), prefix),
                    prefix,
                })
                .collect();
            all.sort();
            all.dedup();
            let networks = Networks::new(all.iter().map(|&network| (network, network))).unwrap();
            let address = IpAddr::from(Ipv4Addr::from_bits(address & 0xf00f_0003));
            let best = all.iter().filter(|n| n.contains(address)).max_by_key(|n| n.prefix);
            prop_assert_eq!(networks.find(address), best);
        }

        #[test]
        fn a_networks_text_is_its_own(bits in any::<u128>(), prefix in 0_u8..=128) {
            let network = Network {
                family: Family::V6,
                bits: Family::V6.masked(bits | 1 << 127, prefix),
                prefix,
            };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }
    }
}

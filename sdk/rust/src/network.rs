//! Networks of IP addresses, for configurations.
//!
//! Owns their text form. To find which of many networks contains a client, ask a question:
//! [`questions::network`](crate::questions::network).

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Addresses with a common prefix, as in `192.0.2.0/24`, or a single one, as in `2001:db8::1`.
///
/// IPv4-mapped IPv6 networks (`::ffff:192.0.2.0/120`) become IPv4 networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    family: Family,
    /// The address in the low bits; no bit after the prefix is set.
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

    /// Returns `bits` without those after the prefix.
    fn masked(self, bits: u128, prefix: u8) -> u128 {
        let rest = u32::from(self.width().saturating_sub(prefix));
        // Shifting a `u128` by all 128 bits would overflow.
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
    /// Returns the length of the prefix in bits: at most 32 or 128.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Returns whether the network contains `address`.
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
                "{text:?} is not a network: write an address, or an address with a prefix length, \
                 as in 192.0.2.0/24"
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
                // An IPv4-mapped IPv6 address has 96 bits before the IPv4 address.
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
            // The bits of an IPv4 network always fit in 32 bits.
            Family::V4 => Ipv4Addr::from_bits(u32::try_from(self.bits).unwrap_or_default()).into(),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(self.bits)),
        };
        write!(f, "{address}/{}", self.prefix)
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

    proptest! {
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

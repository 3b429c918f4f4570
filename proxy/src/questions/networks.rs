//! Entries of a matcher on addresses: finds the smallest network that contains an address.
//!
//! The networks of an address family are sorted by first address, larger ones first. Take the last
//! network that begins at or before an address. If any network contains the address, it is this
//! network or one around it. Each network refers to the smallest network around it, so a search
//! takes at most as many steps outward as networks are nested. Every 32nd first address is also
//! stored in a separate, compact array, which most of a search needs to read.

use std::fmt;
use std::net::IpAddr;

/// Number of networks between two landmarks. A search begins with the landmarks.
const STRIDE: usize = 32;

/// A network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    /// First address; for IPv4, in the low bits.
    bits: u128,
    /// Length of the prefix.
    prefix: u8,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Network {
    /// Parses CIDR notation, or a single address. An IPv4-mapped IPv6 address becomes IPv4.
    ///
    /// # Errors
    /// Description of a valid entry.
    pub(super) fn parse(text: &str) -> Result<Network, Box<str>> {
        let wrong = || Box::<str>::from("a network (CIDR), as in 192.0.2.0/24");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest: u8 = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => {
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = digits.parse().ok().filter(|prefix| *prefix <= longest);
                prefix.filter(|_| is_number).ok_or_else(wrong)?
            }
        };
        let (family, bits) = bits_of(written);
        // An IPv4-mapped IPv6 address has 96 more bits in front of the IPv4 address.
        let beyond = longest - family.width();
        let prefix = prefix.checked_sub(beyond).ok_or_else(wrong)?;
        let network = Network {
            bits: family.first(bits, prefix),
            prefix,
            family,
        };
        if network.bits == bits {
            Ok(network)
        } else {
            let address = family.address(network.bits);
            Err(format!("a network: it begins at {address}/{prefix}").into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.family.address(self.bits);
        write!(f, "{address}/{}", self.prefix)
    }
}

impl Family {
    fn width(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// Returns the first address of the network with this prefix length that contains `bits`.
    fn first(self, bits: u128, prefix: u8) -> u128 {
        let rest = u32::from(self.width().saturating_sub(prefix));
        // A shift by all 128 bits would overflow.
        bits.checked_shr(rest)
            .and_then(|kept| kept.checked_shl(rest))
            .unwrap_or(0)
    }

    fn address(self, bits: u128) -> IpAddr {
        match self {
            // An IPv4 address has no more than 32 bits.
            Family::V4 => IpAddr::V4(u32::try_from(bits).unwrap_or_default().into()),
            Family::V6 => IpAddr::V6(bits.into()),
        }
    }
}

fn bits_of(address: IpAddr) -> (Family, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (Family::V4, address.to_bits().into()),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

/// Parses a part as an address in text form. IPv6 addresses can be in brackets.
fn address(part: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(part).ok()?;
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    }
    text.parse().ok()
}

/// Networks, each with a number.
#[derive(Debug)]
pub(super) struct Networks {
    v4: Nested<u32>,
    v6: Nested<u128>,
}

/// The smallest network that contains an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Smallest {
    /// Prefix length of the network in IPv6 terms. A longer prefix means fewer addresses.
    pub(super) prefix: u8,
    /// Number of the network's entry.
    pub(super) number: u32,
}

impl Networks {
    /// Builds the search structure from networks and their numbers.
    ///
    /// # Errors
    /// The indices of two equal networks, the smaller one first.
    pub(super) fn new(networks: &[(Network, u32)]) -> Result<Networks, (usize, usize)> {
        let v4 = Nested::new(networks, Family::V4, |bits| {
            u32::try_from(bits).unwrap_or_default()
        });
        let v6 = Nested::new(networks, Family::V6, |bits| bits);
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok(Networks { v4, v6 }),
            (Err(one), Err(other)) => Err(if one.1 < other.1 { one } else { other }),
            (Err(twice), Ok(_)) | (Ok(_), Err(twice)) => Err(twice),
        }
    }

    /// Finds the smallest network that contains the address in `part`.
    pub(super) fn find(&self, part: &[u8]) -> Option<Smallest> {
        let (prefix, number) = match address(part)?.to_canonical() {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                let (prefix, number) = self
                    .v4
                    .find(bits, |first, rest| (first ^ bits).checked_shr(rest))?;
                (prefix + (Family::V6.width() - Family::V4.width()), number)
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.v6
                    .find(bits, |first, rest| (first ^ bits).checked_shr(rest))?
            }
        };
        Some(Smallest { prefix, number })
    }

    /// Returns the bytes of memory that the networks occupy, excluding the value itself.
    pub(super) fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// Networks of one address family.
#[derive(Debug)]
struct Nested<T> {
    /// First address of each network, sorted.
    firsts: Box<[T]>,
    /// Every [`STRIDE`]th element of `firsts`.
    landmarks: Box<[T]>,
    prefixes: Box<[u8]>,
    numbers: Box<[u32]>,
    /// For each network, the index of the smallest network that contains it; its own index if there
    /// is none.
    around: Box<[u32]>,
    family: Family,
}

impl<T: Copy + Ord> Nested<T> {
    fn new(
        networks: &[(Network, u32)],
        family: Family,
        narrow: impl Fn(u128) -> T,
    ) -> Result<Nested<T>, (usize, usize)> {
        let own = networks.iter().enumerate();
        let own = own.filter(|(_, (network, _))| network.family == family);
        let mut order: Vec<usize> = own.map(|(index, _)| index).collect();
        let key = |index: usize| (networks[index].0.bits, networks[index].0.prefix);
        order.sort_unstable_by_key(|&index| (key(index), index));
        let pairs = order.windows(2).filter(|pair| key(pair[0]) == key(pair[1]));
        if let Some(pair) = pairs.min_by_key(|pair| pair[1]) {
            return Err((pair[0], pair[1]));
        }
        let mut around = Vec::with_capacity(order.len());
        let mut open: Vec<u32> = Vec::new();
        for (&index, place) in order.iter().zip(0_u32..) {
            let (bits, _) = key(index);
            let contains = |place: u32| {
                let (first, prefix) = key(order[place as usize]);
                family.first(bits, prefix) == first
            };
            while open.last().is_some_and(|&last| !contains(last)) {
                open.pop();
            }
            around.push(open.last().copied().unwrap_or(place));
            open.push(place);
        }
        let each = || order.iter().map(|&index| networks[index]);
        let firsts = || each().map(|(network, _)| narrow(network.bits));
        Ok(Nested {
            firsts: firsts().collect(),
            landmarks: firsts().step_by(STRIDE).collect(),
            prefixes: each().map(|(network, _)| network.prefix).collect(),
            numbers: each().map(|(_, number)| number).collect(),
            around: around.into(),
            family,
        })
    }

    /// Returns prefix length and number of the smallest network that contains `bits`.
    ///
    /// `beyond` takes a network's first address and the number of bits after its prefix. It returns
    /// the prefix bits in which that address and `bits` differ, or None if the prefix has no bits.
    fn find<B: Default + PartialEq>(
        &self,
        bits: T,
        beyond: impl Fn(T, u32) -> Option<B>,
    ) -> Option<(u8, u32)> {
        let before = |first: &T| *first <= bits;
        let start = self.landmarks.partition_point(before).checked_sub(1)? * STRIDE;
        let end = self.firsts.len().min(start + STRIDE);
        // The subtraction cannot underflow: the landmark itself is at or before the address.
        let mut place = start + self.firsts[start..end].partition_point(before) - 1;
        loop {
            let prefix = self.prefixes[place];
            let rest = u32::from(self.family.width() - prefix);
            // A prefix without bits contains every address.
            if beyond(self.firsts[place], rest).is_none_or(|bits| bits == B::default()) {
                return Some((prefix, self.numbers[place]));
            }
            let around = self.around[place] as usize;
            if around == place {
                return None;
            }
            place = around;
        }
    }

    fn memory(&self) -> usize {
        size_of_val(&*self.firsts)
            + size_of_val(&*self.landmarks)
            + self.prefixes.len()
            + size_of_val(&*self.numbers)
            + size_of_val(&*self.around)
    }
}

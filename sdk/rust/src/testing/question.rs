//! Questions answered in memory, by trying each entry in turn.
//!
//! Owns copies of the proxy's checks of a definition. Used by `testing`.

use std::cmp::Reverse;
use std::net::IpAddr;

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;

use super::part::Part;
use crate::Network;
use crate::head::Head;
use crate::matching::{Case, Kind};

/// A question as it was defined.
pub(super) enum Question {
    Matcher {
        part: Part,
        case: Case,
        entries: Vec<(Entry, u32)>,
    },
    Share {
        /// The part that decides; none for `random`.
        part: Option<Part>,
        salt: String,
        per_million: u32,
    },
    LookUp {
        table: String,
        part: Part,
    },
    Value {
        part: Part,
    },
    Usable {
        backend: String,
    },
}

/// The string, network or expression that an entry matches.
pub(super) enum Entry {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    PathPrefix(Vec<u8>),
    Suffix(Vec<u8>),
    FirstSuffix(Vec<u8>),
    Domain(Vec<u8>),
    Network(Network),
    Regex(Box<Regex>),
}

impl Entry {
    fn new(kind: Kind, case: Case, text: &str) -> Result<Self, String> {
        let mut octets = text.as_bytes().to_vec();
        if case == Case::Ignored || kind == Kind::Domain {
            octets.make_ascii_lowercase();
        }
        Ok(match kind {
            Kind::Exact => Self::Exact(octets),
            Kind::Prefix => Self::Prefix(octets),
            Kind::PathPrefix => {
                let end = octets.strip_suffix(b"/").map(<[u8]>::to_vec);
                Self::PathPrefix(end.unwrap_or(octets))
            }
            Kind::Suffix => Self::Suffix(octets),
            Kind::FirstSuffix => Self::FirstSuffix(octets),
            Kind::Domain => Self::Domain(octets),
            Kind::Network => {
                let network = text.parse();
                Self::Network(network.map_err(|_| "is not a network (CIDR)".to_owned())?)
            }
            Kind::Regex => {
                let octets = syntax::Config::new().unicode(false).utf8(false);
                let utf8 = Config::new().utf8_empty(false);
                let mut builder = Regex::builder();
                let regex = builder.syntax(octets).configure(utf8).build(text);
                let wrong = |_| "is not a regular expression".to_owned();
                Self::Regex(Box::new(regex.map_err(wrong)?))
            }
        })
    }

    /// Returns the rank of a match of `value`; higher is better. None if it does not match.
    fn rank(&self, value: &[u8]) -> Option<usize> {
        let longest = |matches: bool, entry: &[u8]| matches.then_some(entry.len());
        match self {
            Self::Exact(entry) => longest(value == entry, entry),
            Self::Prefix(entry) => longest(value.starts_with(entry), entry),
            Self::PathPrefix(entry) => {
                let rest = value.strip_prefix(entry.as_slice())?;
                longest(rest.is_empty() || rest.starts_with(b"/"), entry)
            }
            Self::Suffix(entry) => longest(value.ends_with(entry), entry),
            // All matches have the same rank, so the first entry wins.
            Self::FirstSuffix(entry) => value.ends_with(entry).then_some(0),
            Self::Domain(entry) => {
                let value = value.to_ascii_lowercase();
                let value = value.strip_suffix(b".").unwrap_or(&value);
                let rest = value.strip_suffix(entry.as_slice())?;
                longest(rest.is_empty() || rest.ends_with(b"."), entry)
            }
            Self::Network(network) => {
                let address: IpAddr = str::from_utf8(value).ok()?.parse().ok()?;
                network
                    .contains(address)
                    .then(|| usize::from(network.prefix()))
            }
            Self::Regex(regex) => regex.is_match(value).then_some(0),
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network(a), Self::Network(b)) => a == b,
            (Self::Exact(a), Self::Exact(b))
            | (Self::Prefix(a), Self::Prefix(b))
            | (Self::PathPrefix(a), Self::PathPrefix(b))
            | (Self::Suffix(a), Self::Suffix(b))
            | (Self::FirstSuffix(a), Self::FirstSuffix(b))
            | (Self::Domain(a), Self::Domain(b)) => a == b,
            _ => false,
        }
    }
}

impl Question {
    pub(super) fn matcher(
        kind: Kind,
        over: &str,
        case: Case,
        texts: &[(String, u32)],
    ) -> Result<Self, String> {
        let part = Part::parse(over)?;
        let mut entries: Vec<(Entry, u32)> = Vec::with_capacity(texts.len());
        for (index, (text, number)) in texts.iter().enumerate() {
            let entry = Entry::new(kind, case, text)
                .map_err(|wrong| format!("entry {}, {text:?}, {wrong}", index + 1))?;
            if let Some(first) = entries.iter().position(|(known, _)| known.equals(&entry)) {
                let (this, first) = (index + 1, first + 1);
                return Err(format!("entry {this} repeats entry {first}, {text:?}"));
            }
            entries.push((entry, *number));
        }
        Ok(Self::Matcher {
            part,
            case,
            entries,
        })
    }

    pub(super) fn share(over: &str, salt: &str, per_million: u32) -> Result<Self, String> {
        if per_million > 1_000_000 {
            return Err(format!("{per_million} per million is more than all"));
        }
        let part = match over {
            "random" => None,
            over => Some(Part::parse(over)?),
        };
        Ok(Self::Share {
            part,
            salt: salt.to_owned(),
            per_million,
        })
    }

    pub(super) fn look_up(table: &str, over: &str) -> Result<Self, String> {
        Ok(Self::LookUp {
            table: table.to_owned(),
            part: Part::parse(over)?,
        })
    }

    pub(super) fn of_value(over: &str) -> Result<Self, String> {
        let part = Part::parse(over)?;
        Ok(Self::Value { part })
    }

    /// Returns the answer to a question that answers with a number.
    ///
    /// # Panics
    /// The question answers with a value.
    pub(super) fn number(&self, head: &Head, is_usable: impl FnOnce(&str) -> bool) -> Option<u32> {
        match self {
            Self::Matcher {
                part,
                case,
                entries,
            } => best(part.each(head), *case, entries),
            Self::Share {
                part,
                salt,
                per_million,
            } => {
                let is_there = part.as_ref().is_none_or(|part| {
                    let first = part.each(head).into_iter().next();
                    first.is_some_and(|value| !value.is_empty())
                });
                let is_in = match per_million {
                    0 => false,
                    1_000_000 => true,
                    _ => head.shares.contains(salt),
                };
                (is_there && is_in).then_some(1)
            }
            Self::Usable { backend } => is_usable(backend).then_some(1),
            Self::LookUp { .. } | Self::Value { .. } => {
                panic!("a question whose answer is a value was asked for a number")
            }
        }
    }

    /// Returns the answer to a question that answers with a value.
    ///
    /// # Panics
    /// The question answers with a number.
    pub(super) fn value(
        &self,
        head: &Head,
        table: impl FnOnce(&str, &[u8]) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        match self {
            Self::LookUp { table: name, part } => {
                let key = part.each(head).into_iter().next()?;
                table(name, &key)
            }
            Self::Value { part } => part.each(head).into_iter().next(),
            Self::Matcher { .. } | Self::Share { .. } | Self::Usable { .. } => {
                panic!("a question whose answer is a number was asked for a value")
            }
        }
    }
}

/// Returns the number of the best entry over all values: the entry with the highest rank, or the
/// first of several with the same rank.
fn best(values: Vec<Vec<u8>>, case: Case, entries: &[(Entry, u32)]) -> Option<u32> {
    let values = values.into_iter().map(|mut value| {
        if case == Case::Ignored {
            value.make_ascii_lowercase();
        }
        value
    });
    let ranked = values.enumerate().flat_map(|(line, value)| {
        let ranked = entries.iter().enumerate();
        let ranked = ranked.filter_map(move |(index, (entry, number))| {
            let rank = entry.rank(&value)?;
            // If several lines match exactly, the first line wins.
            let line = matches!(entry, Entry::Exact(_)).then_some(line);
            Some(((line, Reverse(rank), index), *number))
        });
        ranked.collect::<Vec<_>>()
    });
    ranked.min().map(|(_, number)| number)
}

#[cfg(test)]
mod tests;

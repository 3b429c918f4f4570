//! Matchers: which of many entries a part matches.
//!
//! [`Collector`] takes the entries one by one, folds them into the form in which they are kept,
//! and builds the structure of its kind: a trie for text, read from either end; ranges for
//! networks; automata for expressions. A [`Matcher`] never changes.

use super::error::DefineError;
use super::networks::{Network, Networks};
use super::regexes::{RegexError, Regexes};
use super::trie::{BuildError, Step, Text, Trie};

/// How entries match a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// The whole part.
    Exact,
    /// The longest entry that the part begins with.
    Prefix,
    /// The longest entry that the part begins with, ending at a `/` or at the end.
    PathPrefix,
    /// The longest entry that the part ends with.
    Suffix,
    /// The first entry that the part ends with.
    FirstSuffix,
    /// The longest entry that the part, a host name, equals or is a subdomain of.
    Domain,
    /// The smallest network that contains the part, an address.
    Network,
    /// The first regular expression that is found in the part.
    Regex,
}

impl MatchKind {
    /// As the contract calls it, after `define-`.
    pub const fn name(self) -> &'static str {
        match self {
            MatchKind::Exact => "exact",
            MatchKind::Prefix => "prefix",
            MatchKind::PathPrefix => "path-prefix",
            MatchKind::Suffix => "suffix",
            MatchKind::FirstSuffix => "first-suffix",
            MatchKind::Domain => "domain",
            MatchKind::Network => "network",
            MatchKind::Regex => "regex",
        }
    }

    /// Whether a part is read from its end.
    const fn is_backward(self) -> bool {
        matches!(
            self,
            MatchKind::Suffix | MatchKind::FirstSuffix | MatchKind::Domain
        )
    }
}

/// Whether ASCII case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `A` is not `a`.
    Sensitive,
    /// `A` is `a`. Has no meaning for networks, and none for expressions, which have `(?i)`; host
    /// names are compared so in any case.
    Ignored,
}

/// Entries of one kind.
#[derive(Debug)]
pub(super) struct Matcher {
    kind: MatchKind,
    case: Case,
    entries: Entries,
    count: usize,
}

#[derive(Debug)]
enum Entries {
    /// With the entries' numbers.
    Text(Trie),
    /// With the entries' places, which lead to their numbers.
    Ordered(Trie, Box<[u32]>),
    Networks(Networks),
    Regexes(Regexes, Box<[u32]>),
}

/// An entry that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// Of matches of several lines or members, the first of the highest rank counts.
    rank: u64,
    /// The entry's number.
    number: u32,
}

impl Match {
    /// The better one of the best so far and the next.
    pub(super) fn best(best: Option<Match>, next: Option<Match>) -> Option<Match> {
        match (best, next) {
            (Some(best), Some(next)) if next.rank > best.rank => Some(next),
            (None, next) => next,
            (best, _) => best,
        }
    }

    /// The entry's number.
    pub(super) fn number(self) -> u32 {
        self.number
    }

    /// That of an entry of which the first counts.
    fn in_order(place: usize, numbers: &[u32]) -> Option<Match> {
        Some(Match {
            rank: u64::MAX - u64::try_from(place).ok()?,
            number: *numbers.get(place)?,
        })
    }
}

impl Matcher {
    /// The best entry for one part, line or member.
    pub(super) fn find(&self, part: &[u8]) -> Option<Match> {
        match &self.entries {
            Entries::Text(trie) => self.longest(trie, part),
            Entries::Ordered(trie, numbers) => {
                let mut first: Option<u32> = None;
                self.walk(trie, part, |step| {
                    let is_first = first.is_none_or(|first| step.value < first);
                    first = if is_first { Some(step.value) } else { first };
                });
                Match::in_order(first? as usize, numbers)
            }
            Entries::Networks(networks) => {
                let smallest = networks.find(part)?;
                Some(Match {
                    rank: smallest.prefix.into(),
                    number: smallest.number,
                })
            }
            Entries::Regexes(regexes, numbers) => Match::in_order(regexes.find(part)?, numbers),
        }
    }

    fn longest(&self, trie: &Trie, part: &[u8]) -> Option<Match> {
        let part = match self.kind {
            MatchKind::Domain => part.strip_suffix(b".").unwrap_or(part),
            _ => part,
        };
        let is_border = |length: usize| match self.kind {
            MatchKind::Exact => length == part.len(),
            MatchKind::PathPrefix => part.get(length).is_none_or(|&byte| byte == b'/'),
            MatchKind::Domain => {
                let before = (part.len() - length).checked_sub(1);
                before.is_none_or(|before| part[before] == b'.')
            }
            _ => true,
        };
        let mut longest = None;
        self.walk(trie, part, |step| {
            if is_border(step.length) {
                longest = Some(step);
            }
        });
        longest.map(|step| Match {
            rank: match self.kind {
                // One whole part is no better than another: the first counts.
                MatchKind::Exact => 0,
                _ => step.length as u64,
            },
            number: step.value,
        })
    }

    #[inline]
    fn walk(&self, trie: &Trie, part: &[u8], visit: impl FnMut(Step)) {
        match (self.kind.is_backward(), self.case) {
            (false, Case::Sensitive) => trie.walk(Forward::<false>(part), visit),
            (false, Case::Ignored) => trie.walk(Forward::<true>(part), visit),
            (true, Case::Sensitive) => trie.walk(Backward::<false>(part), visit),
            (true, Case::Ignored) => trie.walk(Backward::<true>(part), visit),
        }
    }

    /// Bytes of memory that it takes beside itself.
    pub(super) fn memory(&self) -> usize {
        match &self.entries {
            Entries::Text(trie) => trie.memory(),
            Entries::Ordered(trie, numbers) => trie.memory() + size_of_val(&**numbers),
            Entries::Networks(networks) => networks.memory(),
            Entries::Regexes(regexes, numbers) => regexes.memory() + size_of_val(&**numbers),
        }
    }

    pub(super) fn kind(&self) -> MatchKind {
        self.kind
    }

    /// Number of entries.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

#[inline]
fn folded<const IS_FOLDED: bool>(byte: u8) -> u8 {
    if IS_FOLDED {
        byte.to_ascii_lowercase()
    } else {
        byte
    }
}

/// Whether a text of the same length is `label`, which is folded.
#[inline]
fn is_equal<const IS_FOLDED: bool>(text: &[u8], label: &[u8]) -> bool {
    if IS_FOLDED {
        text.eq_ignore_ascii_case(label)
    } else {
        text == label
    }
}

#[derive(Clone, Copy)]
struct Forward<'p, const IS_FOLDED: bool>(&'p [u8]);

impl<const IS_FOLDED: bool> Text for Forward<'_, IS_FOLDED> {
    #[inline]
    fn length(self) -> usize {
        self.0.len()
    }

    #[inline]
    fn byte(self, at: usize) -> u8 {
        folded::<IS_FOLDED>(self.0[at])
    }

    #[inline]
    fn continues(self, at: usize, label: &[u8]) -> bool {
        let found = self.0.get(at..at + label.len());
        found.is_some_and(|found| is_equal::<IS_FOLDED>(found, label))
    }
}

#[derive(Clone, Copy)]
struct Backward<'p, const IS_FOLDED: bool>(&'p [u8]);

impl<const IS_FOLDED: bool> Text for Backward<'_, IS_FOLDED> {
    #[inline]
    fn length(self) -> usize {
        self.0.len()
    }

    #[inline]
    fn byte(self, at: usize) -> u8 {
        folded::<IS_FOLDED>(self.0[self.0.len() - 1 - at])
    }

    #[inline]
    fn continues(self, at: usize, label: &[u8]) -> bool {
        let end = self.0.len() - at;
        let start = end.checked_sub(label.len());
        start.is_some_and(|start| is_equal::<IS_FOLDED>(&self.0[start..end], label))
    }
}

/// Takes the entries of a matcher, in their order.
#[derive(Debug)]
pub(super) struct Collector {
    kind: MatchKind,
    case: Case,
    /// Of all entries, as they are kept.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    networks: Vec<(Network, u32)>,
    numbers: Vec<u32>,
}

impl Collector {
    pub(super) fn new(kind: MatchKind, case: Case) -> Collector {
        Collector {
            kind,
            case: match kind {
                MatchKind::Domain => Case::Ignored,
                _ => case,
            },
            text: Vec::new(),
            ends: Vec::new(),
            networks: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If the kind has no such entries.
    pub(super) fn push(&mut self, entry: &str, number: u32) -> Result<(), DefineError> {
        let error = |expected: Box<str>| DefineError::Entry {
            entry: self.numbers.len() + 1,
            text: entry.into(),
            expected,
        };
        if self.kind == MatchKind::Network {
            let network = Network::parse(entry).map_err(error)?;
            self.networks.push((network, number));
        } else {
            let text = match self.kind {
                MatchKind::Domain => {
                    domain(entry).ok_or_else(|| error("a host name, as in example.com".into()))?
                }
                MatchKind::PathPrefix => entry.strip_suffix('/').unwrap_or(entry),
                _ => entry,
            };
            let start = self.text.len();
            self.text.extend_from_slice(text.as_bytes());
            let kept = &mut self.text[start..];
            if self.kind.is_backward() {
                kept.reverse();
            }
            if self.case == Case::Ignored && self.kind != MatchKind::Regex {
                kept.make_ascii_lowercase();
            }
            self.ends.push(self.text.len());
        }
        self.numbers.push(number);
        Ok(())
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.text.len()
            + size_of_val(&*self.ends)
            + size_of_val(&*self.networks)
            + size_of_val(&*self.numbers)
    }

    /// Builds the matcher.
    ///
    /// # Errors
    /// If two entries are equal, or expressions are none or too large.
    pub(super) fn finish(self) -> Result<Matcher, DefineError> {
        let count = self.numbers.len();
        let entries = match self.kind {
            MatchKind::Network => Entries::Networks(
                Networks::new(&self.networks)
                    .map_err(|(first, second)| self.repeated(first, second))?,
            ),
            MatchKind::Regex => {
                // Equal ones are found as in any text.
                self.trie(|_| 0)?;
                let expressions: Vec<&str> = (0..count).filter_map(|at| self.str(at)).collect();
                let regexes =
                    Regexes::new(&expressions).map_err(|error| self.regex_error(error))?;
                Entries::Regexes(regexes, self.numbers.into())
            }
            MatchKind::FirstSuffix => {
                // An index that is too large is an error of the trie.
                let trie = self.trie(|at| u32::try_from(at).unwrap_or(u32::MAX))?;
                Entries::Ordered(trie, self.numbers.into())
            }
            _ => Entries::Text(self.trie(|at| self.numbers[at])?),
        };
        Ok(Matcher {
            kind: self.kind,
            case: self.case,
            entries,
            count,
        })
    }

    fn trie(&self, value: impl Fn(usize) -> u32) -> Result<Trie, DefineError> {
        let trie = Trie::new(self.ends.len(), |at| self.entry(at), value);
        let mut trie = trie.map_err(|error| match error {
            BuildError::Repeated(first, second) => self.repeated(first, second),
            BuildError::Large => DefineError::Memory {
                needed: self.memory(),
                limit: u32::MAX as usize,
            },
        })?;
        if self.kind.is_backward() {
            trie.reverse_labels();
        }
        Ok(trie)
    }

    /// As it is kept.
    fn entry(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }

    fn str(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.entry(at)).ok()
    }

    fn repeated(&self, first: usize, second: usize) -> DefineError {
        let text = match self.kind {
            MatchKind::Network => self.networks[second].0.to_string(),
            kind => {
                let mut text = self.entry(second).to_vec();
                if kind.is_backward() {
                    text.reverse();
                }
                String::from_utf8_lossy(&text).into_owned()
            }
        };
        DefineError::Repeated {
            entry: second + 1,
            first: first + 1,
            text: text.into(),
        }
    }

    fn regex_error(&self, error: RegexError) -> DefineError {
        let text = |at: usize| self.str(at).unwrap_or_default().into();
        match error {
            RegexError::Syntax(at, reason) => DefineError::Entry {
                entry: at + 1,
                text: text(at),
                expected: format!("a regular expression: {reason}").into(),
            },
            RegexError::Large(at) => DefineError::LargeExpression {
                entry: at + 1,
                text: text(at),
            },
            RegexError::Many => DefineError::ManyExpressions,
        }
    }
}

/// A host name, without the dot at its end: labels of what a Host may have.
fn domain(entry: &str) -> Option<&str> {
    let name = entry.strip_suffix('.').unwrap_or(entry);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_allowed);
    name.split('.').all(is_label).then_some(name)
}

#[cfg(test)]
mod tests;

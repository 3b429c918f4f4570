//! Matchers: determine which of many entries matches a part.
//!
//! [`Collector`] takes the entries one by one, normalizes them to their stored form, and builds the
//! structure for its kind: a trie for text, read from either end; ranges for networks; automata for
//! expressions. A [`Matcher`] never changes.

use super::error::DefineError;
use super::networks::{Network, Networks};
use super::regexes::{RegexError, Regexes};
use super::trie::{BuildError, Step, Text, Trie};

/// How entries match a part, and which entry wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// The entry that equals the whole part wins.
    Exact,
    /// The longest entry with which the part begins wins.
    Prefix,
    /// The longest entry with which the part begins wins, if the entry is followed by a `/` or by
    /// the end of the part.
    PathPrefix,
    /// The longest entry with which the part ends wins.
    Suffix,
    /// The first entry with which the part ends wins.
    FirstSuffix,
    /// The part is a host name. The longest entry wins that equals it or is a parent domain of it.
    Domain,
    /// The part is an address. The smallest network that contains it wins.
    Network,
    /// The first regular expression that matches anywhere in the part wins.
    Regex,
}

impl MatchKind {
    /// Returns the part of the contract's function name after `define-`.
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

    /// Returns whether parts are read from their end.
    const fn is_backward(self) -> bool {
        matches!(
            self,
            MatchKind::Suffix | MatchKind::FirstSuffix | MatchKind::Domain
        )
    }
}

/// Whether ASCII case matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `A` differs from `a`.
    Sensitive,
    /// `A` equals `a`. Has no effect on networks, nor on expressions, which can use `(?i)` instead.
    /// Host names are always compared this way.
    Ignored,
}

/// The entries of one question, ready for matching.
#[derive(Debug)]
pub(super) struct Matcher {
    kind: MatchKind,
    case: Case,
    entries: Entries,
    count: usize,
}

#[derive(Debug)]
enum Entries {
    /// Trie whose values are the entries' numbers.
    Text(Trie),
    /// Trie whose values are the entries' positions, and the numbers by position.
    Ordered(Trie, Box<[u32]>),
    Networks(Networks),
    Regexes(Regexes, Box<[u32]>),
}

/// An entry that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// Rank of the match. If several lines or members of a part match, the highest rank wins, and
    /// among equals the first.
    rank: u64,
    /// The entry's number.
    number: u32,
}

impl Match {
    /// Returns the better of two matches. If they are equally good, the earlier one, `best`, wins.
    pub(super) fn best(best: Option<Match>, next: Option<Match>) -> Option<Match> {
        match (best, next) {
            (Some(best), Some(next)) if next.rank > best.rank => Some(next),
            (None, next) => next,
            (best, _) => best,
        }
    }

    /// Returns the entry's number.
    pub(super) fn number(self) -> u32 {
        self.number
    }

    /// Returns the match of the entry at position `place`, for kinds where the first matching entry
    /// wins.
    fn in_order(place: usize, numbers: &[u32]) -> Option<Match> {
        Some(Match {
            rank: u64::MAX - u64::try_from(place).ok()?,
            number: *numbers.get(place)?,
        })
    }
}

impl Matcher {
    /// Returns the best match for one part, or for one line or member of it.
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
                // All exact matches have the same rank, so the first one wins.
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

    /// Returns the bytes of memory that the matcher occupies, excluding the value itself.
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

    /// Returns the number of entries.
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

/// Returns whether `text` equals `label`, which is folded and has the same length.
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

/// Collects the entries of a matcher, in order.
#[derive(Debug)]
pub(super) struct Collector {
    kind: MatchKind,
    case: Case,
    /// Text of all entries, in its stored form.
    text: Vec<u8>,
    /// End of each entry in `text`.
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
    /// The entry is not valid for the kind.
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

    /// Returns the bytes of memory that the collected entries occupy.
    pub(super) fn memory(&self) -> usize {
        self.text.len()
            + size_of_val(&*self.ends)
            + size_of_val(&*self.networks)
            + size_of_val(&*self.numbers)
    }

    /// Builds the matcher.
    ///
    /// # Errors
    /// Two entries are equal, or expressions are invalid or too large.
    pub(super) fn finish(self) -> Result<Matcher, DefineError> {
        let count = self.numbers.len();
        let entries = match self.kind {
            MatchKind::Network => Entries::Networks(
                Networks::new(&self.networks)
                    .map_err(|(first, second)| self.repeated(first, second))?,
            ),
            MatchKind::Regex => {
                // Build a trie only to find equal expressions.
                self.trie(|_| 0)?;
                let expressions: Vec<&str> = (0..count).filter_map(|at| self.str(at)).collect();
                let regexes =
                    Regexes::new(&expressions).map_err(|error| self.regex_error(error))?;
                Entries::Regexes(regexes, self.numbers.into())
            }
            MatchKind::FirstSuffix => {
                // The trie rejects an index that is too large.
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

    /// Returns an entry in its stored form.
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

/// Returns a host name without its trailing dot. Labels can contain the characters that a Host
/// field can contain.
fn domain(entry: &str) -> Option<&str> {
    let name = entry.strip_suffix('.').unwrap_or(entry);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_allowed);
    name.split('.').all(is_label).then_some(name)
}

#[cfg(test)]
mod tests;

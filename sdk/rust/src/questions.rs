//! Questions about a request that the proxy answers by itself.
//!
//! A plugin defines them in `configure`, keeps them in its router, and asks them in `route` by
//! [`Request::ask`](crate::Request::ask). The proxy answers natively and keeps decisions under
//! the answers, so that one cached decision serves every request with the same answers. A definition outside of
//! `configure` traps.
//!
//! ```
//! # use pointsman_sdk::testing::{Instance, RequestBuilder};
//! use pointsman_sdk::questions::{self, Matcher, Share};
//! use pointsman_sdk::{Cacheability, Decision, Error, NoConfig, Request, Router};
//!
//! struct Sites {
//!     backends: Matcher<&'static str>,
//!     canary: Share,
//! }
//!
//! impl Router for Sites {
//!     type Config = NoConfig;
//!
//!     fn configure(_: NoConfig) -> Result<Self, Error> {
//!         let backends = [("io.test.tld", "node"), ("cdn.test.tld", "cdn")];
//!         Ok(Self {
//!             backends: questions::domain("host").entries(backends)?,
//!             canary: questions::share("cookie:session", "canary", 50_000)?,
//!         })
//!     }
//!
//!     fn cacheability(&self) -> Cacheability {
//!         Cacheability::Cacheable
//!     }
//!
//!     fn route(&self, request: &Request) -> Result<Decision, Error> {
//!         Ok(match request.ask(&self.backends) {
//!             Some(backend) => Decision::backend(*backend),
//!             None if request.ask(&self.canary) => Decision::backend("canary"),
//!             None => Decision::Next,
//!         })
//!     }
//! }
//! # let sites = Instance::<Sites>::configure("{}", &[]).unwrap();
//! # let request = RequestBuilder::get("/").header("host", "a.io.test.tld").build();
//! # assert_eq!(sites.route(&request), Ok(Decision::backend("node")));
//! ```
//!
//! `over` names the part of the request that a question is about: `method`, `scheme`,
//! `authority`, `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line),
//! `values:NAME` (each member of a comma-separated list), `cookie:NAME`, `client-address`,
//! `server-name`, or `body-json:POINTER` (RFC 6901). Of several lines or members a match takes
//! the best of all, [`exact`] the first that matches; a share, a look-up or a value takes the
//! first.
//!
//! Owns the numbers of the contract's questions: plugins see values of their own. A question is
//! a number in memory and holds nothing of the proxy's.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

use crate::Error;
use crate::head::Head;
use crate::matching::{Case, Kind};

/// Calls the proxy, or what stands in for it under test.
macro_rules! define {
    ($function:ident($($argument:expr),*)) => {{
        #[cfg(target_family = "wasm")]
        let number = crate::guest::$function($($argument),*);
        #[cfg(not(target_family = "wasm"))]
        let number = crate::testing::$function($($argument),*);
        number.map_err(Error::new)
    }};
}

/// The whole part equals an entry.
pub fn exact(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Exact, over)
}

/// The longest entry that the part begins with.
pub fn prefix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Prefix, over)
}

/// The longest entry that the part begins with, in whole segments: `/api` matches `/api` and
/// `/api/x`, not `/apiary`. A `/` at an entry's end is ignored.
pub fn path_prefix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::PathPrefix, over)
}

/// The longest entry that the part ends with.
pub fn suffix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Suffix, over)
}

/// The first entry, in the order given, that the part ends with.
pub fn first_suffix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::FirstSuffix, over)
}

/// The longest entry that the part, a host name, equals or is a subdomain of.
pub fn domain(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Domain,
        over,
    }
}

/// The smallest network (CIDR) that contains the part, an address.
pub fn network(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Network,
        over,
    }
}

/// The first regular expression, in the order given, that matches: on bytes, unanchored.
pub fn regex(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Regex,
        over,
    }
}

/// Whether the request is in a share of `per_million`.
///
/// Equal parts and salts are always in the same share; a larger share contains a smaller one. A
/// part that is absent or empty is in no share. `over` may also be `random`: a number drawn once
/// per request.
///
/// # Errors
/// There is no such part, or `per_million` is above 1,000,000.
pub fn share(over: &str, salt: &str, per_million: u32) -> Result<Share, Error> {
    let number = define!(define_share(over, salt, per_million))?;
    Ok(Share { number })
}

/// The value in the operator's table `table` under the part as key.
///
/// # Errors
/// There is no such table or part.
pub fn look_up(table: &str, over: &str) -> Result<LookUp, Error> {
    let number = define!(define_look_up(table, over))?;
    Ok(LookUp { number })
}

/// The part itself.
///
/// Used through [`Request::set_affinity_by`](crate::Request::set_affinity_by) and the like, it is
/// no part of the key under which the decision is cached.
///
/// # Errors
/// There is no such part.
pub fn value(over: &str) -> Result<Value, Error> {
    let number = define!(define_value(over))?;
    Ok(Value { number })
}

/// Whether a backend has a usable server.
///
/// # Errors
/// There is no such backend.
pub fn usable(backend: &str) -> Result<Usable, Error> {
    let number = define!(define_usable(backend))?;
    Ok(Usable { number })
}

/// A matcher that is being defined: [`entries`](Self::entries) ends it.
#[derive(Clone, Copy, Debug)]
#[must_use = "`entries` defines the question"]
pub struct Definition<'a> {
    kind: Kind,
    over: &'a str,
}

/// A matcher of texts that is being defined: [`entries`](Self::entries) ends it.
#[derive(Clone, Copy, Debug)]
#[must_use = "`entries` defines the question"]
pub struct TextDefinition<'a> {
    kind: Kind,
    over: &'a str,
    case: Case,
}

impl Definition<'_> {
    /// Defines the matcher: what to match, each with the answer.
    ///
    /// Entries with equal answers share cached decisions. Without entries nothing is defined,
    /// and nothing ever matches.
    ///
    /// # Errors
    /// An entry that makes no sense or repeats another, a part that is unknown, or too much of
    /// either: the text names the entry.
    pub fn entries<T: Eq + Hash>(
        self,
        entries: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<Matcher<T>, Error> {
        Matcher::define(self.kind, self.over, Case::Counts, entries)
    }
}

impl<'a> TextDefinition<'a> {
    fn new(kind: Kind, over: &'a str) -> Self {
        Self {
            kind,
            over,
            case: Case::Counts,
        }
    }

    /// Ignores ASCII case. By default it counts.
    pub fn ignore_case(self) -> Self {
        Self {
            case: Case::Ignored,
            ..self
        }
    }

    /// Defines the matcher: what to match, each with the answer.
    ///
    /// Entries with equal answers share cached decisions. Without entries nothing is defined,
    /// and nothing ever matches.
    ///
    /// # Errors
    /// An entry that repeats another, a part that is unknown, or too much of either: the text
    /// names the entry.
    pub fn entries<T: Eq + Hash>(
        self,
        entries: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<Matcher<T>, Error> {
        Matcher::define(self.kind, self.over, self.case, entries)
    }
}

/// Which entry matches a part; the answer is the value given with it.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    /// None without entries.
    number: Option<u32>,
    /// By the numbers that the proxy answers with, which begin at 1.
    values: Vec<T>,
}

impl<T> Matcher<T> {
    /// The distinct values, in the order of their first entries.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: Eq + Hash> Matcher<T> {
    fn define(
        kind: Kind,
        over: &str,
        case: Case,
        entries: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<Self, Error> {
        let entries = entries
            .into_iter()
            .map(|(text, value)| (text.into(), value));
        let (texts, values): (Vec<String>, Vec<T>) = entries.unzip();
        let numbers = numbers(&values);
        let numbered: Vec<(String, u32)> = texts.into_iter().zip(numbers.iter().copied()).collect();
        let number = if numbered.is_empty() {
            None
        } else {
            Some(define!(define_matcher(kind, over, case, &numbered))?)
        };
        let mut distinct = Vec::new();
        for (value, number) in values.into_iter().zip(numbers) {
            // The first of its equals.
            if usize::try_from(number).is_ok_and(|number| number > distinct.len()) {
                distinct.push(value);
            }
        }
        Ok(Self {
            number,
            values: distinct,
        })
    }
}

/// Numbers the distinct values from 1, in the order of their first use.
fn numbers<T: Eq + Hash>(values: &[T]) -> Vec<u32> {
    // Not at random: random numbers taken in `configure` would make the plugin uncacheable.
    let mut known: HashMap<&T, u32, BuildHasherDefault<DefaultHasher>> = HashMap::default();
    let mut numbers = Vec::with_capacity(values.len());
    for value in values {
        let next = u32::try_from(known.len()).map_or(u32::MAX, |len| len.saturating_add(1));
        numbers.push(*known.entry(value).or_insert(next));
    }
    numbers
}

/// Whether a request is in a share of all.
#[derive(Clone, Debug)]
pub struct Share {
    number: u32,
}

/// A value from an operator's table.
#[derive(Clone, Debug)]
pub struct LookUp {
    number: u32,
}

/// A part of the request as a value.
#[derive(Clone, Debug)]
pub struct Value {
    number: u32,
}

/// Whether a backend has a usable server.
#[derive(Clone, Debug)]
pub struct Usable {
    number: u32,
}

/// A question that can be asked by [`Request::ask`](crate::Request::ask).
pub trait Question: sealed::Question {}

/// A question whose answer is a value: [`LookUp`] or [`Value`].
pub trait ValueQuestion: sealed::ValueQuestion {}

impl<Q: sealed::Question> Question for Q {}
impl<Q: sealed::ValueQuestion> ValueQuestion for Q {}

/// What a question answers with: `Option<&T>` of a [`Matcher`], `bool` of a [`Share`] or
/// [`Usable`], `Option<Vec<u8>>` of a [`LookUp`] or [`Value`].
pub type Answer<'a, Q> = <Q as sealed::Question>::Answer<'a>;

pub(crate) mod sealed {
    /// See [`super::Question`].
    pub trait Question {
        /// What it answers with.
        type Answer<'a>
        where
            Self: 'a;

        /// Asks the proxy.
        fn ask<'a>(&'a self, head: &crate::head::Head) -> Self::Answer<'a>;
    }

    /// See [`super::ValueQuestion`].
    pub trait ValueQuestion: Question {
        /// The question's number in the contract.
        fn number(&self) -> u32;
    }
}

impl<T> sealed::Question for Matcher<T> {
    type Answer<'a>
        = Option<&'a T>
    where
        T: 'a;

    fn ask<'a>(&'a self, head: &Head) -> Option<&'a T> {
        let answer = head.ask(self.number?)?;
        let index = usize::try_from(answer).ok()?.checked_sub(1)?;
        self.values.get(index)
    }
}

impl sealed::Question for Share {
    type Answer<'a> = bool;

    fn ask(&self, head: &Head) -> bool {
        head.ask(self.number).is_some()
    }
}

impl sealed::Question for Usable {
    type Answer<'a> = bool;

    fn ask(&self, head: &Head) -> bool {
        head.ask(self.number).is_some()
    }
}

impl sealed::Question for LookUp {
    type Answer<'a> = Option<Vec<u8>>;

    fn ask(&self, head: &Head) -> Option<Vec<u8>> {
        head.ask_value(self.number)
    }
}

impl sealed::Question for Value {
    type Answer<'a> = Option<Vec<u8>>;

    fn ask(&self, head: &Head) -> Option<Vec<u8>> {
        head.ask_value(self.number)
    }
}

impl sealed::ValueQuestion for LookUp {
    fn number(&self) -> u32 {
        self.number
    }
}

impl sealed::ValueQuestion for Value {
    fn number(&self) -> u32 {
        self.number
    }
}

//! Questions about a request that the proxy answers by itself.
//!
//! A plugin defines them in `configure`, keeps them in its router, and asks them in `route` with
//! [`Request::ask`](crate::Request::ask). The proxy answers natively and uses the answers as the
//! key of its decision cache, so one cached decision serves every request with the same answers. A
//! definition outside of `configure` traps.
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
//! `over` names the part of the request that a question is about: `method`, `scheme`, `authority`,
//! `host`, `path`, `path-with-query`, `query:NAME`, `header:NAME` (each line), `values:NAME` (each
//! member of a comma-separated list), `cookie:NAME`, `client-address`, `server-name`, or
//! `body-json:POINTER` (RFC 6901). If the part has several lines or members, a matcher uses the
//! best match of all of them, and [`exact`] the first that matches. A share, a lookup or a value
//! uses the first line or member.
//!
//! Owns the numbers that the contract gives to questions; plugins see their own values instead. A
//! question is a number in memory, and owns no resource of the proxy.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

use crate::Error;
use crate::head::Head;
use crate::matching::{Case, Kind};

/// Calls a function that defines a question, in the proxy or, under test, in its double.
macro_rules! define {
    ($function:ident($($argument:expr),*)) => {{
        #[cfg(target_family = "wasm")]
        let number = crate::guest::$function($($argument),*);
        #[cfg(not(target_family = "wasm"))]
        let number = crate::testing::$function($($argument),*);
        number.map_err(Error::new)
    }};
}

/// Defines a matcher for the entry that equals the whole part. If the part has several lines or
/// members, the first that equals an entry wins.
pub fn exact(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Exact, over)
}

/// Defines a matcher for the longest entry that is a prefix of the part.
pub fn prefix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Prefix, over)
}

/// Defines a matcher for the longest entry that is a prefix of the part in whole segments: `/api`
/// matches `/api` and `/api/x`, but not `/apiary`. A `/` at the end of an entry is ignored.
pub fn path_prefix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::PathPrefix, over)
}

/// Defines a matcher for the longest entry that is a suffix of the part.
pub fn suffix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::Suffix, over)
}

/// Defines a matcher for the first entry, in the order given, that is a suffix of the part.
pub fn first_suffix(over: &str) -> TextDefinition<'_> {
    TextDefinition::new(Kind::FirstSuffix, over)
}

/// Defines a matcher for the longest entry that the part, a host name, equals or is a subdomain of.
pub fn domain(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Domain,
        over,
    }
}

/// Defines a matcher for the smallest network (CIDR) that contains the part, an address.
pub fn network(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Network,
        over,
    }
}

/// Defines a matcher for the first regular expression, in the order given, that matches anywhere in
/// the part. Expressions match bytes and have the syntax of Rust's crate `regex`.
pub fn regex(over: &str) -> Definition<'_> {
    Definition {
        kind: Kind::Regex,
        over,
    }
}

/// Defines the question of whether the request is in a share of `per_million` requests out of
/// 1,000,000.
///
/// The answer depends only on the part and the salt. A request in a share is also in every larger
/// share with the same salt. A request in which the part is absent or empty is in no share. `over`
/// can also be `random`: a number drawn once per request, so shares with the same salt and size
/// give the same answer.
///
/// # Errors
/// There is no such part, or `per_million` is above 1,000,000.
pub fn share(over: &str, salt: &str, per_million: u32) -> Result<Share, Error> {
    let number = define!(define_share(over, salt, per_million))?;
    Ok(Share { number })
}

/// Defines a lookup of the part in the operator's table `table`. The answer is the table's value
/// for the part.
///
/// # Errors
/// There is no such table or part.
pub fn look_up(table: &str, over: &str) -> Result<LookUp, Error> {
    let number = define!(define_look_up(table, over))?;
    Ok(LookUp { number })
}

/// Defines a question whose answer is the part itself.
///
/// If only [`Request::set_header_by`](crate::Request::set_header_by),
/// [`Request::set_affinity_by`](crate::Request::set_affinity_by) or
/// [`Request::tag_by`](crate::Request::tag_by) use the answer, it is not part of the key under
/// which the decision is cached.
///
/// # Errors
/// There is no such part.
pub fn value(over: &str) -> Result<Value, Error> {
    let number = define!(define_value(over))?;
    Ok(Value { number })
}

/// Defines the question of whether a backend has a usable server. The question is answered again at
/// each attempt.
///
/// # Errors
/// There is no such backend.
pub fn usable(backend: &str) -> Result<Usable, Error> {
    let number = define!(define_usable(backend))?;
    Ok(Usable { number })
}

/// A matcher that is being defined. [`entries`](Self::entries) completes it.
#[derive(Clone, Copy, Debug)]
#[must_use = "`entries` defines the question"]
pub struct Definition<'a> {
    kind: Kind,
    over: &'a str,
}

/// A matcher of strings that is being defined. [`entries`](Self::entries) completes it.
#[derive(Clone, Copy, Debug)]
#[must_use = "`entries` defines the question"]
pub struct TextDefinition<'a> {
    kind: Kind,
    over: &'a str,
    case: Case,
}

impl Definition<'_> {
    /// Defines the matcher by its entries, each with its answer.
    ///
    /// Entries with equal answers share cached decisions. Without entries, no question is defined,
    /// and the matcher never matches.
    ///
    /// # Errors
    /// An entry is invalid or repeats another, the part is unknown, or there are too many entries
    /// or questions. The message names the entry.
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

    /// Ignores ASCII case. By default, matching is case-sensitive.
    pub fn ignore_case(self) -> Self {
        Self {
            case: Case::Ignored,
            ..self
        }
    }

    /// Defines the matcher by its entries, each with its answer.
    ///
    /// Entries with equal answers share cached decisions. Without entries, no question is defined,
    /// and the matcher never matches.
    ///
    /// # Errors
    /// An entry repeats another, the part is unknown, or there are too many entries or questions.
    /// The message names the entry.
    pub fn entries<T: Eq + Hash>(
        self,
        entries: impl IntoIterator<Item = (impl Into<String>, T)>,
    ) -> Result<Matcher<T>, Error> {
        Matcher::define(self.kind, self.over, self.case, entries)
    }
}

/// The question of which entry matches a part. The answer is the value given with the entry.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    /// None if there are no entries.
    number: Option<u32>,
    /// Values by the numbers that the proxy answers with, which start at 1.
    values: Vec<T>,
}

impl<T> Matcher<T> {
    /// Returns the distinct values, in the order of their first entries.
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
            // This is the first of several equal values.
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
    // The hasher is not seeded: random numbers used in `configure` would make the plugin
    // uncacheable.
    let mut known: HashMap<&T, u32, BuildHasherDefault<DefaultHasher>> = HashMap::default();
    let mut numbers = Vec::with_capacity(values.len());
    for value in values {
        let next = u32::try_from(known.len()).map_or(u32::MAX, |len| len.saturating_add(1));
        numbers.push(*known.entry(value).or_insert(next));
    }
    numbers
}

/// The question of whether a request is in a share of all requests.
#[derive(Clone, Debug)]
pub struct Share {
    number: u32,
}

/// The question for a value from an operator's table.
#[derive(Clone, Debug)]
pub struct LookUp {
    number: u32,
}

/// The question for the value of a part of the request.
#[derive(Clone, Debug)]
pub struct Value {
    number: u32,
}

/// The question of whether a backend has a usable server.
#[derive(Clone, Debug)]
pub struct Usable {
    number: u32,
}

/// A question that can be asked with [`Request::ask`](crate::Request::ask).
pub trait Question: sealed::Question {}

/// A question whose answer is a value: [`LookUp`] or [`Value`].
pub trait ValueQuestion: sealed::ValueQuestion {}

impl<Q: sealed::Question> Question for Q {}
impl<Q: sealed::ValueQuestion> ValueQuestion for Q {}

/// The type of a question's answer: `Option<&T>` for a [`Matcher`], `bool` for a [`Share`] or
/// [`Usable`], `Option<Vec<u8>>` for a [`LookUp`] or [`Value`].
pub type Answer<'a, Q> = <Q as sealed::Question>::Answer<'a>;

pub(crate) mod sealed {
    /// See [`super::Question`].
    pub trait Question {
        /// The type of the answer.
        type Answer<'a>
        where
            Self: 'a;

        /// Asks the proxy, and returns its answer.
        fn ask<'a>(&'a self, head: &crate::head::Head) -> Self::Answer<'a>;
    }

    /// See [`super::ValueQuestion`].
    pub trait ValueQuestion: Question {
        /// Returns the question's number in the contract.
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

//! Consecutive rules that one set of questions decides.
//!
//! Owns the mapping of rules to questions. Used by `lib`.

use std::collections::BTreeSet;

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Error, Request};

use crate::config::{Boundary, Port, Rule};
use crate::field;

/// Consecutive rules that compare the same field.
pub(crate) enum Group {
    /// Rules that compare Host as sent.
    Host {
        sent: Suffixes,
        /// The same suffixes for connections without HTTP, whose only name is the server name.
        server_name: Suffixes,
    },
    /// Rules that compare Host without its port.
    HostWithoutPort {
        host: Suffixes,
        /// Matches hosts that end with a dot, which the part `host` does not show.
        is_dotted: Matcher<()>,
    },
    /// Rules without options that compare another field.
    Values(Matcher<String>),
    /// All other rules, for which the field is read.
    Lines(Vec<Rule>),
}

/// Questions about the suffixes of a part with a single value.
pub(crate) struct Suffixes {
    /// Matches a part that equals a suffix that must start at a label.
    whole: Matcher<Choice>,
    /// Matches a part that ends with such a suffix after a dot, or with any other suffix.
    end: Matcher<Choice>,
}

/// A rule's backend, and the rule's index, by which the answers of both matchers are compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Choice {
    place: usize,
    backend: String,
}

/// The kind of question that decides a rule.
#[derive(PartialEq, Eq)]
enum Way {
    Host,
    HostWithoutPort,
    Values,
    Lines,
}

impl Way {
    fn of(rule: &Rule) -> Self {
        let is_host = rule.header == "host";
        let is_dotted = || rule.suffixes.iter().any(|suffix| suffix.ends_with('.'));
        match (rule.port, rule.boundary) {
            (Port::Kept, _) if is_host => Self::Host,
            (Port::Ignored, _) if is_host && !is_dotted() => Self::HostWithoutPort,
            (Port::Kept, Boundary::Anywhere) => Self::Values,
            _ => Self::Lines,
        }
    }
}

/// Reports whether two consecutive rules belong to one group.
pub(crate) fn is_alike(a: &Rule, b: &Rule) -> bool {
    a.header == b.header && Way::of(a) == Way::of(b)
}

impl Group {
    /// Defines the questions for rules that belong to one group.
    pub(crate) fn define(rules: &[Rule]) -> Result<Self, Error> {
        let Some(first) = rules.first() else {
            return Ok(Self::Lines(Vec::new()));
        };
        Ok(match Way::of(first) {
            Way::Host => Self::Host {
                sent: Suffixes::define("header:host", rules)?,
                server_name: Suffixes::define("host", rules)?,
            },
            Way::HostWithoutPort => Self::HostWithoutPort {
                host: Suffixes::define("host", rules)?,
                is_dotted: questions::regex("header:host").entries([(r"\.(:[0-9]*)?$", ())])?,
            },
            Way::Values => {
                let mut entries = Entries::default();
                for rule in rules {
                    for suffix in &rule.suffixes {
                        entries.add(suffix, || rule.backend.clone());
                    }
                }
                let over = format!("values:{}", first.header);
                Self::Values(entries.first_suffix(&over)?)
            }
            Way::Lines => Self::Lines(rules.to_vec()),
        })
    }

    /// Returns the backend of the first rule that matches.
    pub(crate) fn choose(&self, request: &Request) -> Option<&str> {
        match self {
            Self::Host { sent, server_name } => {
                let found = sent.choose(request);
                // With HTTP, the port is part of the comparison, but the part `host` does not
                // contain the port.
                found.or_else(|| match request.version() {
                    Some(_) => None,
                    None => server_name.choose(request),
                })
            }
            Self::HostWithoutPort { host, is_dotted } => host
                .choose(request)
                .filter(|_| request.ask(is_dotted).is_none()),
            Self::Values(matcher) => request.ask(matcher).map(String::as_str),
            Self::Lines(rules) => {
                let lines = request.header_lines(&rules.first()?.header);
                let found = rules.iter().find(|rule| field::matches(rule, &lines));
                found.map(|rule| rule.backend.as_str())
            }
        }
    }
}

impl Suffixes {
    fn define(over: &str, rules: &[Rule]) -> Result<Self, Error> {
        let has_labels = rules.iter().any(|rule| rule.boundary == Boundary::Label);
        let (mut whole, mut end) = (Entries::default(), Entries::default());
        for (index, rule) in rules.iter().enumerate() {
            // With only one matcher, indexes need not be compared. With equal indexes, rules with
            // the same backend share cached decisions.
            let place = if has_labels { index } else { 0 };
            let choice = || Choice {
                place,
                backend: rule.backend.clone(),
            };
            for suffix in &rule.suffixes {
                if rule.boundary == Boundary::Anywhere || suffix.starts_with('.') {
                    end.add(suffix, choice);
                } else {
                    whole.add(suffix, choice);
                    end.add(&format!(".{suffix}"), choice);
                }
            }
        }
        Ok(Self {
            whole: whole.exact(over)?,
            end: end.first_suffix(over)?,
        })
    }

    fn choose(&self, request: &Request) -> Option<&str> {
        let answers = [request.ask(&self.whole), request.ask(&self.end)];
        let first = answers.into_iter().flatten().min()?;
        Some(&first.backend)
    }
}

/// Entries of a matcher. If several have the same string, only the first is kept.
struct Entries<T> {
    known: BTreeSet<String>,
    list: Vec<(String, T)>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self {
            known: BTreeSet::new(),
            list: Vec::new(),
        }
    }
}

impl<T: Eq + std::hash::Hash> Entries<T> {
    fn add(&mut self, text: &str, value: impl FnOnce() -> T) {
        if self.known.insert(text.to_owned()) {
            self.list.push((text.to_owned(), value()));
        }
    }

    fn exact(self, over: &str) -> Result<Matcher<T>, Error> {
        questions::exact(over).ignore_case().entries(self.list)
    }

    fn first_suffix(self, over: &str) -> Result<Matcher<T>, Error> {
        let definition = questions::first_suffix(over).ignore_case();
        definition.entries(self.list)
    }
}

//! Turns conditions into questions. Each string that a part is compared with belongs to one
//! question only.
//!
//! Owns the rules by which conditions share a question. For a part with a single value, one
//! question finds the best match among all strings, and the other conditions follow from its
//! answer. For a field, which can have several lines, each string has its own question, and so has
//! every regular expression. Used by `config` and `lib`.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_sdk::questions::{self, Matcher};
use pointsman_sdk::{Error, Request};

/// Maximum number of questions of a plugin, as in the proxy.
const MAX_QUESTIONS: usize = 1024;

/// A condition on one part of a request.
#[derive(Clone)]
pub(crate) struct Condition {
    /// The part, as the contract names it.
    pub(crate) over: String,
    pub(crate) test: Test,
    pub(crate) ignore_case: bool,
    pub(crate) negated: bool,
    /// Path of the condition's key in the configuration.
    pub(crate) key: String,
}

#[derive(Clone)]
pub(crate) enum Test {
    /// Matches any of these strings.
    Exact(Vec<String>),
    Prefix(String),
    Suffix(String),
    Regex(String),
}

/// The part that a question is about, and the kind of comparison.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    over: String,
    kind: Kind,
    ignore_case: bool,
    /// The question's only string, if each string has its own question.
    text: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// Questions about the parts of a request.
pub(crate) struct Questions(Vec<(Kind, Matcher<String>)>);

/// A condition, as the question that answers it and the strings that satisfy it.
pub(crate) struct Asked {
    question: usize,
    /// Strings that satisfy the condition, in lower case if case is ignored.
    texts: Vec<String>,
    negated: bool,
}

/// Collects all conditions before their questions are defined.
#[derive(Default)]
pub(crate) struct Builder {
    /// Subjects in the order of their first use, each with its strings and the key of its first
    /// use.
    subjects: Vec<(Subject, BTreeSet<String>, String)>,
    places: BTreeMap<Subject, usize>,
}

impl Builder {
    /// Adds a condition.
    ///
    /// # Errors
    /// The condition needs one question more than a plugin can have.
    pub(crate) fn add(&mut self, condition: Condition) -> Result<Asked, Error> {
        let (kind, mut texts) = match condition.test {
            Test::Exact(texts) => (Kind::Exact, texts),
            Test::Prefix(text) => (Kind::Prefix, vec![text]),
            Test::Suffix(text) => (Kind::Suffix, vec![text]),
            Test::Regex(text) => (Kind::Regex, vec![text]),
        };
        if condition.ignore_case {
            for text in &mut texts {
                text.make_ascii_lowercase();
            }
        }
        let is_alone = kind == Kind::Regex || condition.over.starts_with("header:");
        let subject = Subject {
            over: condition.over,
            kind,
            ignore_case: condition.ignore_case,
            text: texts.first().filter(|_| is_alone).cloned(),
        };
        let next = self.subjects.len();
        let question = *self.places.entry(subject.clone()).or_insert(next);
        if question == next {
            if next == MAX_QUESTIONS {
                let message = format!("needs more than {MAX_QUESTIONS} questions");
                return Err(Error::at(condition.key, message));
            }
            self.subjects
                .push((subject, BTreeSet::new(), condition.key));
        }
        if let Some((_, known, _)) = self.subjects.get_mut(question) {
            known.extend(texts.iter().cloned());
        }
        Ok(Asked {
            question,
            texts,
            negated: condition.negated,
        })
    }

    /// Defines the questions.
    ///
    /// # Errors
    /// A regular expression is invalid or too large.
    pub(crate) fn define(self) -> Result<Questions, Error> {
        let subjects = self.subjects.into_iter();
        let questions = subjects.map(|(subject, texts, key)| {
            let entries = texts.into_iter().map(|text| (text.clone(), text));
            let matcher = subject.define(entries);
            let matcher = matcher.map_err(|error| error.at_key(key))?;
            Ok((subject.kind, matcher))
        });
        questions.collect::<Result<_, Error>>().map(Questions)
    }
}

impl Subject {
    fn define(
        &self,
        entries: impl Iterator<Item = (String, String)>,
    ) -> Result<Matcher<String>, Error> {
        let definition = match self.kind {
            Kind::Exact => questions::exact(&self.over),
            Kind::Prefix => questions::prefix(&self.over),
            Kind::Suffix => questions::suffix(&self.over),
            Kind::Regex => return questions::regex(&self.over).entries(entries),
        };
        if self.ignore_case {
            definition.ignore_case().entries(entries)
        } else {
            definition.entries(entries)
        }
    }
}

impl Questions {
    /// Reports whether a condition holds.
    pub(crate) fn hold(&self, request: &Request, condition: &Asked) -> bool {
        let Some((kind, matcher)) = self.0.get(condition.question) else {
            return false;
        };
        let answer = request.ask(matcher);
        let matches = answer.is_some_and(|best| {
            condition.texts.iter().any(|text| match kind {
                Kind::Exact | Kind::Regex => best == text,
                // A value that begins with the longest text also begins with every shorter one.
                Kind::Prefix => best.starts_with(text.as_str()),
                Kind::Suffix => best.ends_with(text.as_str()),
            })
        });
        matches != condition.negated
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

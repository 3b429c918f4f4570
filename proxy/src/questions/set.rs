//! The questions of one plugin version.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::answer::{Answer, Kind};
use super::draws::Draws;
use super::error::DefineError;
use super::matcher::{Match, Matcher};
use super::part::Part;
use super::share::Share;
use super::subject::Subject;
use super::text::Quoted;
use crate::tables::Tables;

/// All questions of one plugin version, shared by its instances and every worker.
#[derive(Debug, Default)]
pub struct Questions {
    pub(super) all: Box<[Question]>,
    /// Every definition in order, including those that failed.
    pub(super) definitions: Box<[Definition]>,
    pub(super) tables: Arc<Tables>,
    pub(super) memory: usize,
}

/// A definition. Every other instance must make the same one.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// Digest of everything that the plugin passed in the definition.
    pub(super) digest: [u8; 32],
    /// The question's number, or the error.
    pub(super) outcome: Result<u32, DefineError>,
}

/// One question.
#[derive(Debug)]
pub(super) enum Question {
    Match { over: Part, matcher: Matcher },
    Share { over: ShareOver, share: Share },
    LookUp { table: Box<str>, over: Part },
    Value { over: Part },
    Usable { backend: Box<str> },
}

/// Subject of a share.
#[derive(Debug)]
pub(super) enum ShareOver {
    Part(Part),
    /// Requests, by a random number drawn for each request.
    Random,
}

impl Question {
    /// Returns the bytes of memory that the question occupies, including the value itself.
    pub(super) fn memory(&self) -> usize {
        let own = match self {
            Question::Match { over, matcher } => over.memory() + matcher.memory(),
            Question::Share { over, .. } => match over {
                ShareOver::Part(part) => part.memory(),
                ShareOver::Random => 0,
            },
            Question::LookUp { table, over } => table.len() + over.memory(),
            Question::Value { over } => over.memory(),
            Question::Usable { backend } => backend.len(),
        };
        size_of::<Question>() + size_of::<Definition>() + own
    }
}

impl Questions {
    /// Returns the number of questions.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns whether there are no questions.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the bytes of memory that the questions occupy, which `limits.questions` bounds.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the kind of a question; None if no question has this number.
    pub fn kind(&self, number: u32) -> Option<Kind> {
        Some(match self.question(number)? {
            Question::Match { .. } | Question::Share { .. } | Question::Usable { .. } => {
                Kind::Number
            }
            Question::LookUp { .. } | Question::Value { .. } => Kind::Value,
        })
    }

    /// Returns whether a question's answer comes from a table.
    pub fn is_look_up(&self, number: u32) -> bool {
        matches!(self.question(number), Some(Question::LookUp { .. }))
    }

    /// Returns whether a question's answer can change during the life of a request, as the
    /// usability of a backend can.
    pub fn is_volatile(&self, number: u32) -> bool {
        matches!(self.question(number), Some(Question::Usable { .. }))
    }

    /// Describes a question, for example as `suffix over host, 12 entries`.
    pub fn describe(&self, number: u32) -> Description<'_> {
        Description(self.question(number))
    }

    /// Returns the answer to a question; [`Answer::None`] if no question has this number. `usable`
    /// reports whether a backend has a usable server.
    ///
    /// `draws` are those of the request. They keep every answer the same for the life of the
    /// request, except that of usability.
    pub fn answer<'a>(
        &'a self,
        number: u32,
        subject: Subject<'a>,
        draws: &'a Draws,
        usable: &dyn Fn(&str) -> bool,
    ) -> Answer<'a> {
        match self.question(number) {
            None => Answer::None,
            Some(Question::Match { over, matcher }) => {
                let mut best = None;
                over.each(subject, &mut |part| {
                    best = Match::best(best, matcher.find(part));
                });
                Answer::of_number(best.map(Match::number))
            }
            Some(Question::Share { over, share }) => {
                let is_in = match over {
                    ShareOver::Random => share.has(&draws.random().to_le_bytes()),
                    ShareOver::Part(part) => {
                        let part = part.first(subject).filter(|part| !part.is_empty());
                        part.is_some_and(|part| share.has(&part))
                    }
                };
                Answer::of_number(is_in.then_some(1))
            }
            Some(Question::LookUp { table, over }) => {
                let key = over.first(subject);
                let found = key.and_then(|key| draws.tables(&self.tables).find(table, &key));
                found.map_or(Answer::None, |value| Answer::Value(Cow::Borrowed(value)))
            }
            Some(Question::Value { over }) => {
                over.first(subject).map_or(Answer::None, Answer::Value)
            }
            Some(Question::Usable { backend }) => Answer::of_number(usable(backend).then_some(1)),
        }
    }

    fn question(&self, number: u32) -> Option<&Question> {
        self.all.get(usize::try_from(number).ok()?)
    }
}

/// Description of a question.
#[derive(Debug)]
pub struct Description<'q>(Option<&'q Question>);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("not defined"),
            Some(Question::Match { over, matcher }) => {
                let count = matcher.count();
                let plural = if count == 1 { "y" } else { "ies" };
                let kind = matcher.kind().name();
                write!(f, "{kind} over {over}, {count} entr{plural}")
            }
            Some(Question::Share { over, share }) => {
                let per_million = share.per_million();
                match over {
                    ShareOver::Part(part) => {
                        write!(f, "share of {per_million} per million over {part}")
                    }
                    ShareOver::Random => write!(f, "share of {per_million} per million at random"),
                }
            }
            Some(Question::LookUp { table, over }) => {
                write!(f, "lookup of {over} in table {}", Quoted(table))
            }
            Some(Question::Value { over }) => write!(f, "value of {over}"),
            Some(Question::Usable { backend }) => {
                write!(f, "usability of backend {}", Quoted(backend))
            }
        }
    }
}

#[cfg(test)]
mod tests;

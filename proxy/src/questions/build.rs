//! Collects the definitions that a plugin makes in `configure`.
//!
//! The questions of the first instance are built and stored. The definitions of every other
//! instance are only compared with them by digest as they arrive, so their entries are not stored
//! again. A failed definition is recorded as well. A plugin may continue after the failure, and
//! then the same definition must fail in every instance.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::error::{DefineError, MAX_QUESTIONS};
use super::matcher::{Case, Collector, MatchKind};
use super::part::Part;
use super::set::{Definition, Question, Questions, ShareOver};
use super::share::Share;
use crate::tables::Tables;

/// Maximum number of failed definitions.
const MAX_FAILED: usize = 1024;

/// Function that reports whether the configuration has a backend with this name.
type IsBackend = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Collects the questions of one instance, in order.
pub struct Builder(Mode);

enum Mode {
    Building(Building),
    Verifying(Verifying),
}

struct Building {
    limit: usize,
    memory: usize,
    tables: Arc<Tables>,
    is_backend: IsBackend,
    all: Vec<Question>,
    definitions: Vec<Definition>,
}

struct Verifying {
    questions: Arc<Questions>,
    /// Number of definitions so far. `number` counts only those that defined a question.
    definitions: usize,
    number: u32,
    /// Number of the first question that differs.
    differs: Option<u32>,
}

impl Builder {
    /// Creates a builder for the first instance. `limit` is the maximum memory of all questions in
    /// bytes; `is_backend` reports whether a backend exists.
    pub fn new(limit: usize, tables: Arc<Tables>, is_backend: IsBackend) -> Builder {
        Builder(Mode::Building(Building {
            limit,
            memory: 0,
            tables,
            is_backend,
            all: Vec::new(),
            definitions: Vec::new(),
        }))
    }

    /// Creates a builder for a further instance of a plugin. `questions` are those that the first
    /// instance defined.
    pub fn verifying(questions: Arc<Questions>) -> Builder {
        Builder(Mode::Verifying(Verifying {
            questions,
            definitions: 0,
            number: 0,
            differs: None,
        }))
    }

    /// Starts a matcher. Errors of the matcher and of its entries are returned by
    /// [`Entries::finish`].
    pub fn matcher(&mut self, kind: MatchKind, over: &str, case: Case) -> Entries<'_> {
        let mut digest = Sha256::new();
        add(&mut digest, kind.name().as_bytes());
        add(&mut digest, over.as_bytes());
        digest.update([u8::from(case == Case::Ignored)]);
        let state = match &self.0 {
            Mode::Verifying(_) => State::Verified,
            Mode::Building(building) => match Part::parse(over) {
                Ok(over) => State::Collecting {
                    over,
                    collector: Collector::new(kind, case),
                    room: building.limit.saturating_sub(building.memory),
                },
                Err(error) => State::Failed {
                    error: error.into(),
                },
            },
        };
        Entries {
            builder: self,
            digest,
            state,
        }
    }

    /// Defines a share of a part's values, or of requests if `over` is `random`.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn share(&mut self, over: &str, salt: &str, per_million: u32) -> Result<u32, DefineError> {
        let number = per_million.to_le_bytes();
        let digest = digest("share", &[over.as_bytes(), salt.as_bytes(), &number]);
        self.define(digest, |_| {
            let share = Share::new(salt, per_million);
            let share = share.ok_or(DefineError::PerMillion(per_million))?;
            let over = match over {
                "random" => ShareOver::Random,
                _ => ShareOver::Part(Part::parse(over)?),
            };
            Ok(Question::Share { over, share })
        })
    }

    /// Defines a lookup in one of the operator's tables.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn look_up(&mut self, table: &str, over: &str) -> Result<u32, DefineError> {
        let digest = digest("look-up", &[table.as_bytes(), over.as_bytes()]);
        self.define(digest, |building| {
            let over = Part::parse(over)?;
            if !building.tables.has(table) {
                return Err(DefineError::Table(table.into()));
            }
            let table = table.into();
            Ok(Question::LookUp { table, over })
        })
    }

    /// Defines a question whose answer is the part itself.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn value(&mut self, over: &str) -> Result<u32, DefineError> {
        let digest = digest("value", &[over.as_bytes()]);
        self.define(digest, |_| {
            let over = Part::parse(over)?;
            Ok(Question::Value { over })
        })
    }

    /// Defines the question of whether a backend has a usable server.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn usable(&mut self, backend: &str) -> Result<u32, DefineError> {
        let digest = digest("usable", &[backend.as_bytes()]);
        self.define(digest, |building| {
            if !(building.is_backend)(backend) {
                return Err(DefineError::Backend(backend.into()));
            }
            let backend = backend.into();
            Ok(Question::Usable { backend })
        })
    }

    /// Returns the questions. Called after `configure` has returned. For a further instance, these
    /// are the questions of the first instance.
    ///
    /// # Errors
    /// [`DefineError::Differs`] if this instance made other definitions than the first one, or
    /// fewer.
    pub fn build(self) -> Result<Arc<Questions>, DefineError> {
        match self.0 {
            Mode::Building(building) => Ok(Arc::new(Questions {
                all: building.all.into(),
                definitions: building.definitions.into(),
                tables: building.tables,
                memory: building.memory,
            })),
            Mode::Verifying(verifying) => {
                let is_short = verifying.definitions < verifying.questions.definitions.len();
                let missing = is_short.then_some(verifying.number);
                match verifying.differs.or(missing) {
                    Some(number) => Err(DefineError::Differs(number)),
                    None => Ok(verifying.questions),
                }
            }
        }
    }

    fn define(
        &mut self,
        digest: [u8; 32],
        make: impl FnOnce(&Building) -> Result<Question, DefineError>,
    ) -> Result<u32, DefineError> {
        match &mut self.0 {
            Mode::Building(building) => building.define(digest, make),
            Mode::Verifying(verifying) => verifying.define(&digest),
        }
    }
}

impl Building {
    fn define(
        &mut self,
        digest: [u8; 32],
        make: impl FnOnce(&Building) -> Result<Question, DefineError>,
    ) -> Result<u32, DefineError> {
        let failed = self.definitions.len() - self.all.len();
        if self.all.len() == MAX_QUESTIONS || failed == MAX_FAILED {
            // This definition is not recorded, since every further one fails in the same way.
            return Err(DefineError::TooMany);
        }
        let outcome = make(self).and_then(|question| self.keep(question));
        self.definitions.push(Definition {
            digest,
            outcome: outcome.clone(),
        });
        outcome
    }

    fn keep(&mut self, question: Question) -> Result<u32, DefineError> {
        let needed = self.memory + question.memory();
        if needed > self.limit {
            return Err(DefineError::Memory {
                needed,
                limit: self.limit,
            });
        }
        let number = u32::try_from(self.all.len()).map_err(|_| DefineError::TooMany)?;
        self.memory = needed;
        self.all.push(question);
        Ok(number)
    }
}

impl Verifying {
    fn define(&mut self, digest: &[u8; 32]) -> Result<u32, DefineError> {
        let expected = self.questions.definitions.get(self.definitions);
        let outcome = match expected {
            Some(expected) if expected.digest == *digest => expected.outcome.clone(),
            None if self.is_full() => return Err(DefineError::TooMany),
            _ => Err(DefineError::Differs(self.number)),
        };
        self.definitions += 1;
        match &outcome {
            Ok(number) => self.number = number + 1,
            Err(DefineError::Differs(number)) => {
                self.differs.get_or_insert(*number);
            }
            Err(_) => {}
        }
        outcome
    }

    /// Returns whether the first instance reached a maximum number of definitions.
    fn is_full(&self) -> bool {
        let made = self.questions.all.len();
        made == MAX_QUESTIONS || self.questions.definitions.len() - made == MAX_FAILED
    }
}

/// Collects the entries of a matcher, in order. Defines nothing if it is dropped without
/// [`Entries::finish`].
pub struct Entries<'b> {
    builder: &'b mut Builder,
    digest: Sha256,
    state: State,
}

enum State {
    Collecting {
        over: Part,
        collector: Collector,
        /// Memory left for the plugin's questions.
        room: usize,
    },
    Failed {
        error: DefineError,
    },
    /// The entries are too large. Further entries are only counted, to report how much memory they
    /// need.
    Full {
        needed: usize,
    },
    /// The entries are compared with those of the first instance.
    Verified,
}

impl Entries<'_> {
    /// Adds an entry with its number.
    pub fn push(&mut self, entry: &str, number: u32) {
        add(&mut self.digest, entry.as_bytes());
        self.digest.update(number.to_le_bytes());
        match &mut self.state {
            State::Collecting {
                collector, room, ..
            } => {
                if let Err(error) = collector.push(entry, number) {
                    self.state = State::Failed { error };
                } else if collector.memory() > *room {
                    let needed = collector.memory();
                    self.state = State::Full { needed };
                }
            }
            State::Full { needed } => *needed += entry.len(),
            State::Failed { .. } | State::Verified => {}
        }
    }

    /// Ends the matcher and defines it as a question.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn finish(self) -> Result<u32, DefineError> {
        let digest = self.digest.finalize().into();
        let state = self.state;
        self.builder.define(digest, |building| match state {
            State::Collecting {
                over, collector, ..
            } => {
                let matcher = collector.finish()?;
                Ok(Question::Match { over, matcher })
            }
            State::Failed { error } => Err(error),
            State::Full { needed } => Err(DefineError::Memory {
                needed: building.memory + needed,
                limit: building.limit,
            }),
            // Unreachable: only a verifying builder has this state.
            State::Verified => Err(DefineError::TooMany),
        })
    }
}

fn digest(kind: &str, given: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    add(&mut digest, kind.as_bytes());
    for text in given {
        add(&mut digest, text);
    }
    digest.finalize().into()
}

/// Adds a string, preceded by its length so that the digest depends on where the string ends.
fn add(digest: &mut Sha256, text: &[u8]) {
    digest.update(text.len().to_le_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests;

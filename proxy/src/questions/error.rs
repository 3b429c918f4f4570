//! Why a definition is refused: text for the operator, which names the entry.

use thiserror::Error;

use super::part::PartError;
use super::text::Quoted;

/// Most questions of a plugin.
pub const MAX_QUESTIONS: usize = 1024;

/// Why a question cannot be defined. Entries are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefineError {
    /// The text that `over` gives names no part.
    #[error(transparent)]
    Part(#[from] PartError),
    /// An entry is not of the kind that the matcher has.
    #[error("entry {entry}, {}, is not {expected}", Quoted(.text))]
    Entry {
        /// Its place.
        entry: usize,
        /// Its text.
        text: Box<str>,
        /// What it should be.
        expected: Box<str>,
    },
    /// An expression needs too much memory.
    #[error(
        "entry {entry}, {}, is too large an expression: begin it with `^`, have less in it, or \
         repeat less often",
        Quoted(.text)
    )]
    LargeExpression {
        /// Its place.
        entry: usize,
        /// Its text.
        text: Box<str>,
    },
    /// Together the expressions need too many automata.
    #[error(
        "the expressions are too many or too large to be matched at once: begin them with `^`, have \
         less in them, or define several questions"
    )]
    ManyExpressions,
    /// Two entries match the same.
    #[error("entry {entry} repeats entry {first}, {}", Quoted(.text))]
    Repeated {
        /// The place of the second.
        entry: usize,
        /// The place of the first.
        first: usize,
        /// The text of the second.
        text: Box<str>,
    },
    /// More than a million of a million.
    #[error("a share is 0 to 1000000 per million, not {0}")]
    PerMillion(u32),
    /// No such table.
    #[error("there is no table {} in the configuration", Quoted(.0))]
    Table(Box<str>),
    /// No such backend.
    #[error("there is no backend {} in the configuration", Quoted(.0))]
    Backend(Box<str>),
    /// Too many definitions.
    #[error("a plugin may define {MAX_QUESTIONS} questions")]
    TooMany,
    /// Too much memory for all questions together.
    #[error("the questions take {needed} bytes; limits.questions allows {limit}")]
    Memory {
        /// What is needed, at least.
        needed: usize,
        /// The limit.
        limit: usize,
    },
    /// Not defined as by the plugin's first instance. A fault of the plugin, whatever it makes of
    /// the error.
    #[error("question {0} is not the one that the plugin's first instance defined")]
    Differs(u32),
}

impl DefineError {
    /// Whether the plugin broke the rule that every instance defines the same questions.
    pub fn is_fault(&self) -> bool {
        matches!(self, DefineError::Differs(_))
    }
}

//! Errors of definitions, with messages for the operator that name the entry.

use thiserror::Error;

use super::part::PartError;
use super::text::Quoted;

/// Maximum number of questions of a plugin.
pub const MAX_QUESTIONS: usize = 1024;

/// Reasons why a question cannot be defined. Entries are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefineError {
    /// The string in `over` does not name a part.
    #[error(transparent)]
    Part(#[from] PartError),
    /// An entry is not valid for the kind of matcher.
    #[error("entry {entry}, {}, is not {expected}", Quoted(.text))]
    Entry {
        /// Position of the entry.
        entry: usize,
        /// Text of the entry.
        text: Box<str>,
        /// Description of a valid entry.
        expected: Box<str>,
    },
    /// A regular expression needs too much memory.
    #[error(
        "entry {entry}, {}, is too large: begin the expression with `^`, shorten it, or use fewer \
         repetitions",
        Quoted(.text)
    )]
    LargeExpression {
        /// Position of the expression.
        entry: usize,
        /// Text of the expression.
        text: Box<str>,
    },
    /// The expressions of the matcher together need too many automata.
    #[error(
        "the expressions are too many or too large to match at once: begin them with `^`, shorten \
         them, or define several questions"
    )]
    ManyExpressions,
    /// Two entries are equal.
    #[error("entry {entry} repeats entry {first}, {}", Quoted(.text))]
    Repeated {
        /// Position of the second.
        entry: usize,
        /// Position of the first.
        first: usize,
        /// Text of the second.
        text: Box<str>,
    },
    /// The share is larger than a million per million.
    #[error("a share is 0 to 1000000 per million, not {0}")]
    PerMillion(u32),
    /// There is no table with this name.
    #[error("there is no table {} in the configuration", Quoted(.0))]
    Table(Box<str>),
    /// There is no backend with this name.
    #[error("there is no backend {} in the configuration", Quoted(.0))]
    Backend(Box<str>),
    /// There are too many definitions.
    #[error("a plugin can define at most {MAX_QUESTIONS} questions")]
    TooMany,
    /// All questions together need too much memory.
    #[error("the questions take {needed} bytes; limits.questions allows {limit}")]
    Memory {
        /// Lower bound of the memory that is needed, in bytes.
        needed: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The definition differs from that of the plugin's first instance. This is a fault, even if
    /// the plugin ignores the error.
    #[error("question {0} is not the one that the plugin's first instance defined")]
    Differs(u32),
}

impl DefineError {
    /// Returns whether the plugin broke the rule that every instance defines the same questions.
    pub fn is_fault(&self) -> bool {
        matches!(self, DefineError::Differs(_))
    }
}

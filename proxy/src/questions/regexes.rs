//! Entries of a matcher on regular expressions: finds the first expression that matches anywhere in
//! a part.
//!
//! Complete DFAs are built when the question is defined. Matching takes one step per byte and
//! automaton, whatever the expressions and the part, and allocates nothing. All expressions share
//! one automaton if it stays small. Otherwise the list is split into halves, each with its own
//! automaton.

use std::error::Error as StdError;

use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton as _, StartKind};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

/// Maximum number of expressions of one matcher.
const MAX_EXPRESSIONS: usize = 4096;

/// Maximum number of bytes of expressions that are parsed at once. Parsing takes a hundred times as
/// much memory.
const MAX_TEXT: usize = 128 * 1024;

/// Maximum memory of the NFA from which an automaton is built.
const MAX_NFA: usize = 256 * 1024;

/// Maximum memory of one automaton.
const MAX_DFA: usize = 1024 * 1024;

/// Maximum additional memory for building the automaton of a single expression. Build time is
/// proportional to it: some 300 ms at the limit.
const MAX_BUILD_ONE: usize = 1024 * 1024;

/// Maximum additional memory for building one automaton of several expressions. The limit is lower,
/// since they can be split instead.
const MAX_BUILD_SEVERAL: usize = 256 * 1024;

/// Maximum number of automata of one matcher. Each of them reads the whole part.
const MAX_AUTOMATA: usize = 16;

/// Regular expressions in order.
#[derive(Debug)]
pub(super) struct Regexes(Box<[Automaton]>);

#[derive(Debug)]
struct Automaton {
    dfa: DFA<Vec<u32>>,
    /// Position of the automaton's first expression; its other expressions follow that one.
    first: usize,
}

/// Reasons why expressions cannot be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RegexError {
    /// The expression at this index is not valid.
    Syntax(usize, Box<str>),
    /// The expression at this index is too large even by itself.
    Large(usize),
    /// The expressions need too many automata.
    Many,
}

impl Regexes {
    /// Builds the automata. Expressions match bytes, without Unicode classes.
    ///
    /// # Errors
    /// An expression is not valid, or the expressions need too many or too large automata.
    pub(super) fn new(expressions: &[&str]) -> Result<Regexes, RegexError> {
        if expressions.len() > MAX_EXPRESSIONS {
            return Err(RegexError::Many);
        }
        for (index, expression) in expressions.iter().enumerate() {
            if expression.len() > MAX_TEXT {
                return Err(RegexError::Large(index));
            }
            check(expression).map_err(|reason| RegexError::Syntax(index, reason))?;
        }
        let mut automata = Vec::new();
        add(expressions, 0, &mut automata)?;
        Ok(Regexes(automata.into()))
    }

    /// Returns the position of the first expression that matches anywhere in `part`.
    pub(super) fn find(&self, part: &[u8]) -> Option<usize> {
        self.0.iter().find_map(|automaton| automaton.find(part))
    }

    /// Returns the bytes of memory that the automata occupy, excluding the value itself.
    pub(super) fn memory(&self) -> usize {
        let each = self.0.iter().map(|one| one.dfa.memory_usage());
        size_of_val(&*self.0) + each.sum::<usize>()
    }
}

impl Automaton {
    fn find(&self, part: &[u8]) -> Option<usize> {
        let start = start::Config::new().anchored(Anchored::No);
        // This cannot fail, since the automaton has no quit bytes.
        let mut state = self.dfa.start_state(&start).ok()?;
        let mut found = None;
        for &byte in part {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_special_state(state) {
                if self.dfa.is_match_state(state) {
                    self.collect(state, &mut found);
                    if found == Some(0) {
                        break;
                    }
                } else if self.dfa.is_dead_state(state) || self.dfa.is_quit_state(state) {
                    break;
                }
            }
        }
        state = self.dfa.next_eoi_state(state);
        if self.dfa.is_match_state(state) {
            self.collect(state, &mut found);
        }
        found.map(|pattern| self.first + pattern)
    }

    fn collect(&self, state: StateID, found: &mut Option<usize>) {
        for index in 0..self.dfa.match_len(state) {
            let pattern = self.dfa.match_pattern(state, index).as_usize();
            if found.is_none_or(|first| pattern < first) {
                *found = Some(pattern);
            }
        }
    }
}

/// Adds automata for `expressions`, the first of which is at position `first`.
fn add(
    expressions: &[&str],
    first: usize,
    automata: &mut Vec<Automaton>,
) -> Result<(), RegexError> {
    let text: usize = expressions.iter().map(|one| one.len()).sum();
    if text <= MAX_TEXT
        && let Some(dfa) = build(expressions)
    {
        if automata.len() == MAX_AUTOMATA {
            return Err(RegexError::Many);
        }
        automata.push(Automaton { dfa, first });
        return Ok(());
    }
    if expressions.len() <= 1 {
        return Err(RegexError::Large(first));
    }
    let (front, back) = expressions.split_at(expressions.len() / 2);
    add(front, first, automata)?;
    add(back, first + front.len(), automata)
}

fn build(expressions: &[&str]) -> Option<DFA<Vec<u32>>> {
    let nfa = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_NFA));
    let build = match expressions {
        [_] => MAX_BUILD_ONE,
        _ => MAX_BUILD_SEVERAL,
    };
    let dfa = dense::Config::new()
        .accelerate(false)
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(MAX_DFA))
        .determinize_size_limit(Some(build));
    dense::Builder::new()
        .syntax(syntax_config())
        .thompson(nfa)
        .configure(dfa)
        .build_many(expressions)
        .ok()
}

fn syntax_config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Checks that an expression is valid.
///
/// # Errors
/// The reason why it is not.
fn check(expression: &str) -> Result<(), Box<str>> {
    let Err(error) = syntax::parse_with(expression, &syntax_config()) else {
        return Ok(());
    };
    let mut cause: &dyn StdError = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // The library displays an error on several lines; the last one is the message.
    let text = cause.to_string();
    let last = text.lines().last().unwrap_or(&text).trim();
    Err(last.strip_prefix("error: ").unwrap_or(last).into())
}

//! Regular expressions whose matching is one step for each octet, whatever the expression.
//!
//! A backtracking or simulated one can take a millisecond for each kilobyte that a client chooses
//! to send, and the plugin's deadline is soon over. So the automaton is built in `configure`, whole,
//! or the expression is refused. Used by `config`.

use std::error::Error as StdError;

use regex_automata::Input;
use regex_automata::dfa::dense::{self, BuildError, DFA};
use regex_automata::dfa::{Automaton as _, StartKind};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

/// Most memory that an expression may take before its automaton is built.
const MAX_NFA: usize = 256 * 1024;

/// Most memory that an automaton may take.
const MAX_DFA: usize = 512 * 1024;

/// Most memory that building it may take besides.
const MAX_BUILD: usize = 4 * 1024 * 1024;

/// A regular expression on octets.
pub(crate) struct Regex(DFA<Vec<u32>>);

impl Regex {
    /// Reads `text`.
    ///
    /// # Errors
    /// What is wrong with it, as a text.
    pub(crate) fn new(text: &str, ignore_case: bool) -> Result<Self, String> {
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(ignore_case);
        let nfa = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MAX_NFA));
        let dfa = dense::Config::new()
            .accelerate(false)
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_DFA))
            .determinize_size_limit(Some(MAX_BUILD));
        let mut builder = dense::Builder::new();
        builder.syntax(syntax).thompson(nfa).configure(dfa);
        builder
            .build(text)
            .map(Self)
            .map_err(|error| explain(&error))
    }

    /// Whether it is found anywhere in `value`.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        let input = Input::new(value).earliest(true);
        // Fails at octets that an automaton gives up at, of which these have none.
        self.0
            .try_search_fwd(&input)
            .is_ok_and(|found| found.is_some())
    }
}

fn explain(error: &BuildError) -> String {
    let mut cause: &dyn StdError = error;
    let mut is_too_large = error.is_size_limit_exceeded();
    while let Some(source) = cause.source() {
        cause = source;
        let limit = source.downcast_ref::<thompson::BuildError>();
        is_too_large |= limit.is_some_and(|error| error.size_limit().is_some());
    }
    if is_too_large {
        return "too large: begin it with `^`, have less in it, or repeat less often".to_owned();
    }
    // The library draws what is wrong over several lines; the last of them says it.
    let text = cause.to_string();
    let last = text.lines().last().unwrap_or(&text).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_expression_is_found() {
        for (text, value, expected) in [
            ("b", "abc", true),
            ("^b", "abc", false),
            ("c$", "abc", true),
            ("^abc$", "abc", true),
            ("^$", "", true),
            ("", "", true),
            ("a.c", "a\nc", false),
            ("(?s)a.c", "a\nc", true),
            (r"\bfoo\b", "a foo.", true),
            (r"\bfoo\b", "afoo.", false),
            (r"^\d{3}-\d+$", "123-4", true),
            ("^(a|bc)+$", "abcbca", true),
            ("\u{e9}", "caf\u{e9}", true),
        ] {
            let regex = Regex::new(text, false).unwrap();
            assert_eq!(
                regex.is_match(value.as_bytes()),
                expected,
                "{text}: {value}"
            );
        }
        let regex = Regex::new("^aB", true).unwrap();
        assert!(regex.is_match(b"Ab\xff") && !regex.is_match(b"\xffab"));
        let regex = Regex::new(r"^\xff[^a]$", false).unwrap();
        assert!(regex.is_match(b"\xff\xfe") && !regex.is_match(b"\xffa"));
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        for (text, expected) in [
            ("(", "unclosed group"),
            (
                "a{2,1}",
                "invalid repetition count range, the start must be <= the end",
            ),
            (r"\pL", "Unicode not allowed here"),
            (
                "(?=a)",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
        ] {
            assert_eq!(Regex::new(text, false).err().as_deref(), Some(expected));
        }
        for text in ["(a{1000}){1000}", "[ab]*a[ab]{20}", "a{100000}"] {
            let error = Regex::new(text, false).err().unwrap();
            assert!(error.starts_with("too large: "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_looked_at(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let regex = Regex::new(r"(?s)^[^\x00-\x1f]*b(c|\xff)", false).unwrap();
            let begins = value.iter().position(|octet| *octet < 0x20).unwrap_or(value.len());
            let pairs = value.windows(2).enumerate();
            let expected = pairs
                .filter(|(at, _)| *at <= begins)
                .any(|(_, pair)| matches!(pair, [b'b', b'c' | 0xff]));
            prop_assert_eq!(regex.is_match(&value), expected);
        }
    }
}

//! Answers to questions, and the kinds of questions.

use std::borrow::Cow;

/// Kind of a question, by the contract's function that a plugin calls for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ask`: for matchers, shares and usability.
    Number,
    /// `ask-value`: for lookups and values.
    Value,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Nothing matches or exists.
    None,
    /// Number of the matching entry; 1 if the request is in the share or the backend is usable.
    Number(u32),
    /// Value from a table, or the part itself.
    Value(Cow<'a, [u8]>),
}

impl Answer<'_> {
    /// Returns the answer's number; None if the answer is not a number.
    pub fn number(&self) -> Option<u32> {
        match self {
            Answer::Number(number) => Some(*number),
            Answer::None | Answer::Value(_) => None,
        }
    }

    /// Returns the answer's value; None if the answer is not a value.
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Answer::Value(value) => Some(value),
            Answer::None | Answer::Number(_) => None,
        }
    }

    /// Returns the same answer without borrowed data.
    pub fn into_owned(self) -> Answer<'static> {
        match self {
            Answer::None => Answer::None,
            Answer::Number(number) => Answer::Number(number),
            Answer::Value(value) => Answer::Value(Cow::Owned(value.into_owned())),
        }
    }

    /// Appends the answer's key to `key`. Two keys are equal if and only if the answers are. A key
    /// is self-delimiting, so the concatenated keys of several answers are unambiguous as well.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        match self {
            Answer::None => key.push(0),
            Answer::Number(number) => {
                key.push(1);
                key.extend_from_slice(&number.to_le_bytes());
            }
            Answer::Value(value) => {
                key.push(2);
                key.extend_from_slice(&value.len().to_le_bytes());
                key.extend_from_slice(value);
            }
        }
    }

    /// Returns the answer for an optional number.
    pub(super) fn of_number(number: Option<u32>) -> Self {
        number.map_or(Answer::None, Answer::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_as_answers_do() {
        let value = |value: &'static [u8]| Answer::Value(value.into());
        let sequences = [
            vec![],
            vec![Answer::None],
            vec![Answer::None, Answer::None],
            vec![Answer::Number(0)],
            vec![Answer::Number(1)],
            vec![value(b"")],
            vec![value(b"\0")],
            vec![value(b""), Answer::None],
            vec![value(b"ab"), value(b"c")],
            vec![value(b"a"), value(b"bc")],
        ];
        let key = |answers: &[Answer<'_>]| {
            let mut key = Vec::new();
            for answer in answers {
                answer.write_key(&mut key);
            }
            key
        };
        for (at, one) in sequences.iter().enumerate() {
            for (other_at, other) in sequences.iter().enumerate() {
                assert_eq!(key(one) == key(other), at == other_at, "{one:?} {other:?}");
            }
        }
    }
}

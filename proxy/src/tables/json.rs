//! JSON (RFC 8259): one object whose values are strings.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::Deserializer;

use super::error::{Mistake, TableError};

/// Passes every member of the object to `each`, in order.
///
/// # Errors
/// [`TableError::Line`], with the line of the error.
pub(super) fn parse(
    text: &str,
    each: impl FnMut(&str, &str) -> Result<(), Mistake>,
) -> Result<(), TableError> {
    let mut reader = Deserializer::from_str(text);
    let parsed = reader
        .deserialize_map(Object(each))
        .and_then(|()| reader.end());
    parsed.map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let text = text.strip_suffix(&place).unwrap_or(&text);
        TableError::Line {
            // The parser reports an error before the first character as line 0.
            line: error.line().max(1),
            mistake: Mistake::Json(format!("column {}: {text}", error.column())),
        }
    })
}

/// Formats a string as JSON.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Object<F>(F);

impl<'de, F: FnMut(&str, &str) -> Result<(), Mistake>> Visitor<'de> for Object<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key_seed(Text)? {
            let value = members.next_value_seed(Text)?;
            (self.0)(&key, &value).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Deserializes a string, without copying it if it contains no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut members: Vec<(String, String)> = Vec::new();
        let parsed = parse(text, |key, value| {
            if members.iter().any(|(known, _)| known == key) {
                let key = key.to_owned();
                return Err(Mistake::Repeated { key, first: 0 });
            }
            members.push((key.to_owned(), value.to_owned()));
            Ok(())
        });
        parsed.map_err(|error| error.to_string())?;
        Ok(members)
    }

    #[test]
    fn objects() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            assert_eq!(read(text), Ok(expected.collect()), "{text}");
        };
        check("{}", &[]);
        check(" {\"a\": \"b\",\n\"c\":\"\"}\n", &[("a", "b"), ("c", "")]);
        check(r#"{"\u0061\n": "\"\ud83d\ude00"}"#, &[("a\n", "\"😀")]);
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
        };
        check("", "line 1: column 0: EOF while parsing a value");
        check(
            "[]",
            "line 1: column 0: invalid type: sequence, expected an object whose values are strings",
        );
        check(
            "{\"a\": \"b\",\n \"c\": 5}",
            "line 2: column 7: invalid type: integer `5`, expected a string",
        );
        check(
            "{\"a\": true}",
            "line 1: column 10: invalid type: boolean `true`, expected a string",
        );
        check(
            "{\"a\": null}",
            "line 1: column 10: invalid type: null, expected a string",
        );
        check(
            "{\"a\": {}}",
            "line 1: column 6: invalid type: map, expected a string",
        );
        check(
            "{\"a\": \"b\",\n\n \"a\": \"c\"}",
            "line 3: column 10: the key `a` is already on an earlier line",
        );
        check("{\"a\": \"b\",}", "line 1: column 11: trailing comma");
        check("{\"a\": \"b\"} x", "line 1: column 12: trailing characters");
        check(
            "{\"a\": \"\\ud800\"}",
            "line 1: column 14: unexpected end of hex escape",
        );
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        check(
            &deep,
            "line 1: column 6: invalid type: sequence, expected a string",
        );
    }

    proptest! {
        #[test]
        fn written_and_read(key in "\\PC{1,8}", value in ".{0,8}") {
            let text = format!("{{{}: {}}}", string(&key), string(&value));
            prop_assert_eq!(read(&text), Ok(vec![(key, value)]));
        }
    }
}

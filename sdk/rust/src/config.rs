//! Deserialization of a plugin's configuration, which the proxy passes as JSON.
//!
//! Owns the form of errors: `rules[0].suffix: message`. The proxy takes the text before the first
//! `: ` as the path of a key. Called by the glue, in the plugin and in tests.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_path_to_error::Track;

use crate::Error;

/// The configuration of a plugin that has none: any key is an error.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct NoConfig {}

/// Deserializes `text`, which is JSON, to the plugin's configuration type.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut unread = None;
    let mut track = Track::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let deserializer = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let config = serde_ignored::deserialize(deserializer, |path| {
        // The first one is enough, since an error can name only one key.
        unread.get_or_insert_with(|| key(&path));
    })
    .map_err(|error| locate(&track.path().to_string(), &error))?;
    json.end().map_err(Error::from)?;
    match unread {
        Some(key) => Err(Error::at(key, "unknown key")),
        None => Ok(config),
    }
}

/// Returns the error for a value at `path`, which is `.` for the whole configuration.
fn locate(path: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // A position in the JSON means nothing to a user who wrote TOML.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    if path == "." {
        Error::new(message)
    } else {
        Error::at(path, message)
    }
}

/// Formats a path as in errors: `a.b[0].c`.
fn key(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", key(parent)),
        Path::Map { parent, key: name } => {
            let parent = key(parent);
            if parent.is_empty() {
                name.clone()
            } else {
                format!("{parent}.{name}")
            }
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => key(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read by no one but the parser")]
    struct Table {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read by no one but the parser")]
    struct Rule {
        suffix: String,
        port: Option<u16>,
    }

    fn check(json: &str, expected: &str) {
        assert_eq!(parse::<Table>(json).unwrap_err().to_string(), expected);
    }

    #[test]
    fn errors_name_the_key() {
        check("{}", "missing field `rules`");
        check(
            r#"{"rules":[{"suffix":"a"},{"suffix":5}]}"#,
            "rules[1].suffix: invalid type: integer `5`, expected a string",
        );
        check(
            r#"{"rules":[{"suffix":"a","port":65536}]}"#,
            "rules[0].port: invalid value: integer `65536`, expected u16",
        );
        check(r#"{"rules":[{}]}"#, "rules[0]: missing field `suffix`");
    }

    #[test]
    fn a_key_that_is_not_read_is_an_error() {
        check(r#"{"rules":[],"rule":[]}"#, "rule: unknown key");
        check(
            r#"{"rules":[{"suffix":"a","sufix":"b"}]}"#,
            "rules[0].sufix: unknown key",
        );
        assert!(parse::<NoConfig>("{}").is_ok());
        let error = parse::<NoConfig>(r#"{"a":{}}"#).unwrap_err();
        assert_eq!(error.to_string(), "a: unknown key");
    }

    #[test]
    fn anything_but_one_json_value_is_an_error() {
        for text in ["", "{", "{} {}", "[", "\u{0}", "{\"rules\": []}}"] {
            assert!(parse::<Table>(text).is_err(), "{text:?}");
        }
    }
}

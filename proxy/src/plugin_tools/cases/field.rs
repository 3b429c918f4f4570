//! A field of a request or a response, as written in `cases.toml`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::http::syntax;

/// A field's value: a string, a repeated string, or a list of octets if it is not text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Octets {
    Text(String),
    List(Vec<u8>),
    Long { repeat: String, times: u16 },
}

impl Octets {
    /// Returns the octets of the value.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Octets::Text(text) => text.as_bytes().into(),
            Octets::List(octets) => octets.into(),
            Octets::Long { repeat, times } => {
                repeat.repeat(usize::from(*times)).into_bytes().into()
            }
        }
    }
}

/// Checks that `name` is a valid field name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if syntax::is_name(name.as_bytes()) {
        Ok(())
    } else {
        Err(format!("{name:?} is not the name of a field"))
    }
}

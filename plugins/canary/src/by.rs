//! The part of a request that distinguishes clients.
//!
//! Owns the way this part is written in the configuration. Used by `lib`.

use std::fmt;

use pointsman_sdk::{Error, syntax};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};

/// The part of a request that distinguishes clients.
#[derive(Default)]
pub(crate) enum By {
    #[default]
    Address,
    Cookie(String),
    Header(String),
}

impl By {
    /// Returns the part in the form that the `over` of questions has.
    pub(crate) fn over(&self) -> String {
        match self {
            Self::Address => "client-address".to_owned(),
            Self::Cookie(name) => format!("cookie:{name}"),
            Self::Header(name) => format!("header:{name}"),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let (key, name) = match self {
            Self::Address => return Ok(()),
            Self::Cookie(name) => ("by.cookie", name),
            Self::Header(name) => ("by.header", name),
        };
        if syntax::is_token(name) {
            Ok(())
        } else {
            Err(Error::at(key, format_args!("{name:?} is not a name")))
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Hand-written, since the error messages of a derived enum do not list the accepted forms.
        deserializer.deserialize_any(ByVisitor)
    }
}

struct ByVisitor;

impl<'de> Visitor<'de> for ByVisitor {
    type Value = By;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""address", { cookie = "NAME" } or { header = "NAME" }"#)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<By, E> {
        match word {
            "address" => Ok(By::Address),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<By, A::Error> {
        let mut by = None;
        while let Some(key) = map.next_key::<String>()? {
            let name = match key.as_str() {
                "cookie" => By::Cookie(map.next_value()?),
                "header" => By::Header(map.next_value()?),
                _ => return Err(de::Error::unknown_field(&key, &["cookie", "header"])),
            };
            if by.replace(name).is_some() {
                let message = "give one of `cookie` and `header`";
                return Err(de::Error::custom(message));
            }
        }
        by.ok_or_else(|| de::Error::invalid_value(Unexpected::Other("an empty table"), &self))
    }
}

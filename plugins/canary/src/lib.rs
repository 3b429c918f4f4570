//! Sends a share of the clients to a backend of their own, always the same ones.
//!
//! Owns who belongs to the share: a hash of what tells clients apart. Reads that, and the field
//! that overrides it where there is one.

#[cfg(test)]
mod tests;

use std::fmt;

use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends, syntax};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};

/// `router.config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    backend: String,
    percent: f64,
    #[serde(default)]
    by: By,
    #[serde(default)]
    salt: String,
    override_header: Option<String>,
}

/// What tells clients apart.
#[derive(Default)]
enum By {
    #[default]
    Address,
    Cookie(String),
    Header(String),
}

/// The router.
pub struct Canary {
    config: Config,
    /// The hash of the salt, from which each key goes on.
    seed: u64,
}

impl Router for Canary {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        backends::require("backend", &config.backend)?;
        if !(0.0..=100.0).contains(&config.percent) {
            return Err(Error::at("percent", "must be within 0 and 100"));
        }
        let names = [
            ("by.cookie", config.by.cookie()),
            ("by.header", config.by.header()),
            ("override_header", config.override_header.as_deref()),
        ];
        for (key, name) in names {
            if name.is_some_and(|name| !syntax::is_token(name)) {
                let name = name.unwrap_or_default();
                return Err(Error::at(key, format_args!("{name:?} is not a name")));
            }
        }
        Ok(Self {
            seed: fnv(FNV_BASIS, config.salt.as_bytes()),
            config,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let chosen = self.overridden(request).unwrap_or_else(|| {
            let key = self.config.by.key(request);
            key.is_some_and(|key| place(self.seed, &key) < self.config.percent)
        });
        Ok(if chosen {
            Decision::backend(&self.config.backend)
        } else {
            Decision::DefaultBackend
        })
    }
}

impl Canary {
    fn overridden(&self, request: &Request) -> Option<bool> {
        let value = request.header(self.config.override_header.as_deref()?)?;
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"always") {
            Some(true)
        } else if value.eq_ignore_ascii_case(b"never") {
            Some(false)
        } else {
            None
        }
    }
}

impl By {
    fn cookie(&self) -> Option<&str> {
        match self {
            By::Cookie(name) => Some(name),
            By::Address | By::Header(_) => None,
        }
    }

    fn header(&self) -> Option<&str> {
        match self {
            By::Header(name) => Some(name),
            By::Address | By::Cookie(_) => None,
        }
    }

    /// What tells this client from others; none where it has not got it.
    fn key(&self, request: &Request) -> Option<Vec<u8>> {
        let key = match self {
            By::Address => request.client().address.into_bytes(),
            By::Cookie(name) => request.cookie(name)?,
            By::Header(name) => request.header(name)?,
        };
        (!key.is_empty()).then_some(key)
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, for a derived enum's errors do not say what to write.
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

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a, going on from `hash`.
fn fnv(hash: u64, octets: &[u8]) -> u64 {
    octets.iter().fold(hash, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(FNV_PRIME)
    })
}

/// Where a client stands, from 0 up to but not 100: always at the same place.
fn place(seed: u64, key: &[u8]) -> f64 {
    // Apart from the salt, so that `a` before `b` is not `ab`.
    let hash = fnv((seed ^ 0xff).wrapping_mul(FNV_PRIME), key);
    // FNV alone leaves the high bits of short keys close together: splitmix64's finish.
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let hash = hash ^ (hash >> 31);
    let high = u32::try_from(hash >> 32).unwrap_or_default();
    f64::from(high) / 4_294_967_296.0 * 100.0
}

pointsman_sdk::export!(Canary);

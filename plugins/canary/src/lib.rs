//! Sends a share of the clients, always the same ones, to a separate backend.
//!
//! Owns the part that distinguishes clients, and the cookie that keeps clients in the share. Reads
//! only the HTTP version, and only if a cookie is to be set, so a few cached decisions serve all
//! clients.

mod by;
#[cfg(test)]
mod tests;

use by::By;
use pointsman_sdk::questions::{self, Matcher, Share};
use pointsman_sdk::{Cacheability, Decision, Error, Request, Router, backends, syntax};
use serde::Deserialize;

/// The plugin's table in the proxy's configuration.
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
    sticky: Option<Sticky>,
}

/// The cookie that keeps a client in the share after the client's first request there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sticky {
    cookie: String,
    max_age: Option<u32>,
    #[serde(default)]
    secure: bool,
}

/// The router.
pub struct Canary {
    backend: String,
    /// Requests that ask to be in the share (`true`) or out of it (`false`).
    wishes: Matcher<bool>,
    share: Share,
    /// Clients that have the cookie.
    kept: Matcher<()>,
    /// Value of the `Set-Cookie` field that sets the cookie.
    set_cookie: Option<String>,
}

impl Router for Canary {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        backends::require("backend", &config.backend)?;
        let per_million = per_million(config.percent)?;
        config.by.check()?;
        let share = questions::share(&config.by.over(), &config.salt, per_million)?;
        let sticky = config.sticky.as_ref();
        sticky.map_or(Ok(()), |sticky| sticky.check(&config.salt))?;
        // At 0 %, the cookie keeps no client in the share.
        let kept = match sticky.filter(|_| per_million > 0) {
            Some(sticky) => sticky.kept(&config.salt)?,
            None => none()?,
        };
        Ok(Self {
            wishes: config.wishes()?,
            kept,
            set_cookie: sticky.map(|sticky| sticky.set_cookie(&config.salt)),
            backend: config.backend,
            share,
        })
    }

    fn cacheability(&self) -> Cacheability {
        Cacheability::Cacheable
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        let is_chosen = match request.ask(&self.wishes) {
            Some(wish) => *wish,
            None if request.ask(&self.kept).is_some() => true,
            None => {
                let is_chosen = request.ask(&self.share);
                // A connection without HTTP cannot set a cookie.
                if let (true, Some(cookie)) = (is_chosen, &self.set_cookie)
                    && request.version().is_some()
                {
                    request.append_response_header("set-cookie", cookie)?;
                }
                is_chosen
            }
        };
        Ok(if is_chosen {
            Decision::backend(&self.backend)
        } else {
            Decision::Next
        })
    }
}

impl Config {
    fn wishes(&self) -> Result<Matcher<bool>, Error> {
        let Some(name) = &self.override_header else {
            return none();
        };
        check_name("override_header", name)?;
        let over = format!("header:{name}");
        let definition = questions::exact(&over).ignore_case();
        definition.entries([("always", true), ("never", false)])
    }
}

impl Sticky {
    fn check(&self, salt: &str) -> Result<(), Error> {
        check_name("sticky.cookie", &self.cookie)?;
        let allowed = |octet: u8| octet.is_ascii_graphic() && !b"\",;\\".contains(&octet);
        if !salt.bytes().all(allowed) {
            let message =
                "becomes the cookie's value: use only visible ASCII characters except `\",;\\`";
            return Err(Error::at("salt", message));
        }
        Ok(())
    }

    fn kept(&self, salt: &str) -> Result<Matcher<()>, Error> {
        let over = format!("cookie:{}", self.cookie);
        questions::exact(&over).entries([(value(salt), ())])
    }

    fn set_cookie(&self, salt: &str) -> String {
        let age = self.max_age.map(|age| format!("; Max-Age={age}"));
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={}; Path=/{}; HttpOnly; SameSite=Lax{secure}",
            self.cookie,
            value(salt),
            age.unwrap_or_default()
        )
    }
}

/// Returns the cookie's value. A new salt invalidates the cookies set under the previous one.
fn value(salt: &str) -> &str {
    if salt.is_empty() { "1" } else { salt }
}

/// Returns a matcher that matches nothing.
fn none<T: Eq + std::hash::Hash>() -> Result<Matcher<T>, Error> {
    questions::exact("host").entries(Vec::<(String, T)>::new())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 and a million"
)]
fn per_million(percent: f64) -> Result<u32, Error> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(Error::at("percent", "must be between 0 and 100"));
    }
    Ok((percent * 10_000.0).round() as u32)
}

fn check_name(key: &str, name: &str) -> Result<(), Error> {
    if syntax::is_token(name) {
        Ok(())
    } else {
        Err(Error::at(key, format_args!("{name:?} is not a name")))
    }
}

pointsman_sdk::export!(Canary);

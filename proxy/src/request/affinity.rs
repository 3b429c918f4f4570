//! Server affinity of a request: by a cookie, by a learned session, or by the part of the request
//! that `balance` hashes.

use std::fmt::Write as _;

use super::context::Context;
use super::outgoing::Outgoing;
use crate::config::Affinity as Configured;
use crate::config::{AffinityCookie, Balance, HashKey, SameSite, Secure};
use crate::http::cookie;
use crate::http::edit::Edit;
use crate::http::field::FieldKind;
use crate::http::message::{ResponseHead, Scheme};
use crate::plugin::Value;
use crate::upstream::{Bound, EndpointId, Lease, LocalCluster, hash};

/// Longest value that is learned as a session; longer values are ignored.
const MAX_SESSION: usize = 1024;

/// The server or key that a request is bound to.
///
/// In order of precedence: the server that a plugin names, the key that the plugin sets, the
/// backend's session, and the key of `balance`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Affinity {
    tie: Tie,
    /// Hash of the key that `balance` uses.
    pub(super) key: Option<u64>,
}

/// The setting that binds a request to a server, apart from `balance`.
#[derive(Debug, Clone, Copy, Default)]
enum Tie {
    #[default]
    None,
    /// The endpoint of the request's session.
    Session(EndpointId),
    /// The hash of the decision's key.
    Key(u64),
    /// The server that the decision names.
    Server,
}

impl Affinity {
    /// Determines the affinity of a request.
    #[inline]
    pub(super) fn of(cx: &Context, outgoing: &Outgoing) -> Affinity {
        let cluster = outgoing.backend();
        let chosen = outgoing.server().map(|_| Tie::Server);
        let chosen = chosen.or_else(|| {
            let key = outgoing.options()?.affinity.as_ref()?;
            match key {
                Value::Fixed(key) => Some(Tie::Key(hash::of(key))),
                Value::By(_) => None,
            }
        });
        cluster.with_settings(|settings| {
            let backend = &settings.backend;
            let session = || {
                let configured = backend.affinity.as_ref()?;
                bound(cx, cluster, configured).map(Tie::Session)
            };
            Affinity {
                tie: chosen.or_else(session).unwrap_or_default(),
                key: match &backend.balance {
                    Balance::Hash(hash) => key(cx, &hash.key),
                    _ => None,
                },
            }
        })
    }

    /// Returns the preferred target of the request.
    pub(super) fn bound<'a>(&self, outgoing: &'a Outgoing) -> Option<Bound<'a>> {
        match self.tie {
            Tie::None => None,
            Tie::Session(id) => Some(Bound::Session(id)),
            Tie::Key(key) => Some(Bound::Key(key)),
            Tie::Server => outgoing.server(),
        }
    }

    /// Binds the session to the server, once the head of the response has arrived.
    pub(super) fn answered(self, cx: &mut Context, lease: &Lease, head: &ResponseHead) {
        let Some(configured) = &lease.settings().backend.affinity else {
            return;
        };
        // The plugin chooses the server, so a session would have no effect.
        if let Tie::Key(_) | Tie::Server = self.tie {
            return;
        }
        let endpoint = lease.endpoint();
        let id = endpoint.endpoint().id();
        match configured {
            Configured::Cookie(cookie) => {
                if !matches!(self.tie, Tie::Session(bound) if bound == id) {
                    let value = set_cookie(cookie, endpoint.cookie(), cx.head.scheme());
                    cx.edit_response(Edit::append(b"Set-Cookie", value.as_bytes()).ok());
                }
            }
            Configured::Learned(learned) => {
                let name = learned.field.as_str().as_bytes();
                if let Some(session) = head.fields().values(name).find(|value| is_session(value)) {
                    lease.cluster().cluster().remember(session, id);
                }
            }
        }
    }
}

fn bound(cx: &Context, cluster: &LocalCluster, configured: &Configured) -> Option<EndpointId> {
    let fields = cx.head.fields();
    match configured {
        Configured::Cookie(cookie) => {
            let value = cookie::find(fields, cookie.name.as_bytes())?;
            let value = std::str::from_utf8(value).ok()?;
            cluster.endpoint_of_cookie(u64::from_str_radix(value, 16).ok()?)
        }
        Configured::Learned(learned) => {
            let mut values = fields.values(learned.field.as_str().as_bytes());
            let session = values.find(|value| is_session(value))?;
            cluster.cluster().learned(session, learned.ttl)
        }
    }
}

fn is_session(value: &[u8]) -> bool {
    (1..=MAX_SESSION).contains(&value.len())
}

/// Computes the hash of the key; None if the request has no such key.
fn key(cx: &Context, key: &HashKey) -> Option<u64> {
    let head = &cx.head;
    let value = match key {
        HashKey::Client => return Some(hash::of(cx.client().address.as_bytes())),
        HashKey::Header(name) => {
            let name = name.as_str().as_bytes();
            match FieldKind::of(name) {
                FieldKind::Host => head.authority(),
                _ => head.fields().values(name).next(),
            }
        }
        HashKey::Cookie(name) => cookie::find(head.fields(), name.as_bytes()),
        HashKey::Query(name) => cookie::find_parameter(head.query()?, name.as_bytes()),
    };
    value.map(hash::of)
}

fn set_cookie(cookie: &AffinityCookie, value: u64, scheme: Scheme) -> String {
    let mut text = format!("{}={value:016x}; Path=/", cookie.name);
    if let Some(max_age) = cookie.max_age {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "; Max-Age={}", max_age.as_secs());
    }
    if cookie.http_only {
        text.push_str("; HttpOnly");
    }
    let is_secure = match cookie.secure {
        Secure::Auto => scheme == Scheme::Https,
        Secure::Always => true,
        Secure::Never => false,
    };
    if is_secure {
        text.push_str("; Secure");
    }
    text.push_str(match cookie.same_site {
        SameSite::Strict => "; SameSite=Strict",
        SameSite::Lax => "; SameSite=Lax",
        SameSite::None => "; SameSite=None",
    });
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cookies_as_configured() {
        let cookie = AffinityCookie {
            name: "server".to_owned(),
            secret: String::new(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            max_age: None,
        };
        let check = |cookie: &AffinityCookie, scheme, expected: &str| {
            let text = set_cookie(cookie, 0xab, scheme);
            assert_eq!(text, format!("server=00000000000000ab; Path=/{expected}"));
        };
        check(&cookie, Scheme::Http, "; HttpOnly; SameSite=Lax");
        check(&cookie, Scheme::Https, "; HttpOnly; Secure; SameSite=Lax");
        let other = AffinityCookie {
            secure: Secure::Always,
            http_only: false,
            same_site: SameSite::None,
            max_age: Some(Duration::from_hours(1)),
            ..cookie
        };
        check(
            &other,
            Scheme::Http,
            "; Max-Age=3600; Secure; SameSite=None",
        );
    }
}
